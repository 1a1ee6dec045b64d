"""The workflow files of Databricks and EMR, held against the published schemas and against the jobs' own arguments."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import MISSING, fields
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from databricks.sdk.service import compute, jobs

from nightrank.cli import job_parser
from nightrank.config import load_config
from nightrank.errors import UsageError
from nightrank.stages import JOBS, WEEKLY_JOBS

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
# Keys that must be there, and the keys that there are, copied by hand from the published schemas.
# Databricks: bundle/schema/jsonschema.json of github.com/databricks/cli, which `databricks bundle schema` prints. What
# lies below resources.jobs is the Jobs API: its keys are also those of databricks-sdk, generated from the same source.
BUNDLE = {
    "artifacts", "bundle", "include", "permissions", "presets", "resources", "run_as", "sync", "targets", "variables",
    "workspace",
}  # fmt: skip
TARGET = {"mode", "default", "workspace", "variables", "run_as", "presets", "resources", "permissions", "sync"}
REQUIRED = {
    "bundle": {"name"},
    "job_cluster": {"job_cluster_key", "new_cluster"},
    "task": {"task_key"},
    "schedule": {"quartz_cron_expression", "timezone_id"},
    "spark_python_task": {"python_file"},
    "parameter": {"name", "default"},
    # Amazon EMR API reference: AddJobFlowSteps, StepConfig, HadoopJarStepConfig.
    "AddJobFlowSteps": {"JobFlowId", "Steps"},
    "StepConfig": {"Name", "HadoopJarStep"},
    "HadoopJarStep": {"Jar"},
    # Amazon EMR Serverless API reference: StartJobRun, SparkSubmit.
    "StartJobRun": {"applicationId", "clientToken", "executionRoleArn"},
    "sparkSubmit": {"entryPoint"},
}
KNOWN = {
    "AddJobFlowSteps": {"JobFlowId", "Steps", "ExecutionRoleArn"},
    "StepConfig": {"Name", "HadoopJarStep", "ActionOnFailure"},
    "HadoopJarStep": {"Jar", "Args", "MainClass", "Properties"},
    "StartJobRun": {
        "applicationId", "clientToken", "configurationOverrides", "executionIamPolicy", "executionRoleArn",
        "executionTimeoutMinutes", "jobDriver", "mode", "name", "retryPolicy", "tags",
    },
    "sparkSubmit": {"entryPoint", "entryPointArguments", "sparkSubmitParameters"},
}  # fmt: skip
ONE_VALUE = re.compile(r"--(conf|files|jars|archives|py-files|deploy-mode)$")


def held(schema: str, found: dict[str, Any]) -> dict[str, Any]:
    """The same object, once it has every required key and no unknown one."""
    assert REQUIRED.get(schema, set()) <= set(found), schema
    assert set(found) <= KNOWN.get(schema, set(found)), schema
    return found


def held_by_sdk(kind: type, found: dict[str, Any]) -> dict[str, Any]:
    """The same, against a dataclass of databricks-sdk."""
    keys = {f.name: f.default is MISSING and f.default_factory is MISSING for f in fields(kind)}
    assert {name for name, required in keys.items() if required} <= set(found), kind
    assert set(found) <= set(keys), kind
    return found


def bundle() -> dict[str, Any]:
    return yaml.safe_load((CONF / "databricks.yml").read_text())


def job(name: str = "nightrank") -> dict[str, Any]:
    return held_by_sdk(jobs.JobSettings, bundle()["resources"]["jobs"][name])


def both_jobs() -> list[dict[str, Any]]:
    """The nightly and the weekly one."""
    return [job(name) for name in bundle()["resources"]["jobs"]]


def steps() -> list[dict[str, Any]]:
    """Of the night, then of the week."""
    files = ("emr.json", "emr_encoder.json")
    return [step for name in files for step in held("AddJobFlowSteps", json.loads((CONF / name).read_text()))["Steps"]]


def runs() -> dict[str, dict[str, Any]]:
    return json.loads((CONF / "emr_serverless.json").read_text())


def submitted(words: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    """The options of a spark-submit, and what comes after them: the job and its arguments."""
    options: dict[str, list[str]] = {}
    while words and words[0].startswith("--"):
        assert ONE_VALUE.match(words[0]), words[0]
        options.setdefault(words[0], []).append(words[1])
        words = words[2:]
    return options, words


# --- what the jobs understand ---


def every_call() -> list[tuple[str, str, list[str]]]:
    """(where, the job's file, its arguments) of each start of a job in each workflow file."""
    told = {"${workspace.file_path}/conf/${var.config}": "conf/databricks_prod.yaml"}
    told["{{job.parameters.run_date}}"] = job()["parameters"][0]["default"].replace(
        "{{job.trigger.time.iso_date}}", "2026-02-02"
    )
    found = []
    for task in (task for one in both_jobs() for task in one["tasks"]):
        python = task["spark_python_task"]
        found.append(("databricks", python["python_file"], [told.get(word, word) for word in python["parameters"]]))
    for step in steps():
        _, called = submitted(step["HadoopJarStep"]["Args"][1:])
        found.append(("emr", called[0], called[1:]))
    for run in runs().values():
        submit = run["jobDriver"]["sparkSubmit"]
        found.append(("emr_serverless", submit["entryPoint"], submit["entryPointArguments"]))
    return found


@pytest.mark.parametrize("where", ["databricks", "emr", "emr_serverless"])
def test_each_job_comes_once_in_order_with_arguments_that_it_knows(where: str) -> None:
    calls = [(file, arguments) for place, file, arguments in every_call() if place == where]
    assert [Path(file).stem for file, _ in calls] == [*JOBS, *WEEKLY_JOBS]
    for file, arguments in calls:
        assert (ROOT / "jobs" / Path(file).name).is_file()
        parsed = job_parser(Path(file).stem).parse_args(arguments)
        assert parsed.run_date == date(2026, 2, 1)
        assert load_config(CONF / Path(parsed.config).name)


@pytest.mark.parametrize("text", ["before:", "before:2026-13-01", "after:2026-01-01", "before:0001-01-01", "{{x}}"])
def test_a_night_that_is_not_a_date_is_not_known(text: str) -> None:
    with pytest.raises(UsageError, match="expected a date"):
        job_parser("prepare").parse_args(["--config", "x", "--run-date", text])


# --- Databricks ---


def test_the_bundle_keeps_the_schema() -> None:
    found = bundle()
    assert set(found) <= BUNDLE
    held("bundle", found["bundle"])
    assert set(found["targets"]) == {"dev", "prod"}
    for target in found["targets"].values():
        assert set(target) <= TARGET
        assert set(target.get("variables", {})) <= set(found["variables"])
    for one in both_jobs():
        _keeps_the_schema(one)


def _keeps_the_schema(one: dict[str, Any]) -> None:
    held("schedule", held_by_sdk(jobs.CronSchedule, one["schedule"]))
    for parameter in one["parameters"]:
        held("parameter", held_by_sdk(jobs.JobParameterDefinition, parameter))
    for cluster in one["job_clusters"]:
        held("job_cluster", held_by_sdk(jobs.JobCluster, cluster))
        held_by_sdk(compute.ClusterSpec, cluster["new_cluster"])
    for task in one["tasks"]:
        held("task", held_by_sdk(jobs.Task, task))
        held("spark_python_task", held_by_sdk(jobs.SparkPythonTask, task["spark_python_task"]))
        for library in task["libraries"]:
            held_by_sdk(compute.Library, library)


def test_every_variable_of_the_bundle_is_defined() -> None:
    text = (CONF / "databricks.yml").read_text()
    assert set(re.findall(r"\$\{var\.(\w+)\}", text)) == set(bundle()["variables"])
    assert set(re.findall(r"\$\{(?!var\.)([\w.]+)\}", text)) == {"workspace.file_path", "bundle.name", "bundle.target"}


def test_tasks_follow_each_other_on_the_clusters_that_they_need() -> None:
    tasks = job()["tasks"]
    assert [[before["task_key"] for before in task.get("depends_on", [])] for task in tasks] == [
        [], ["prepare"], ["encode"], ["train"],
    ]  # fmt: skip
    assert [task["job_cluster_key"] for task in tasks] == ["cpu", "gpu", "gpu", "gpu"]
    clusters = {cluster["job_cluster_key"]: cluster["new_cluster"] for cluster in job()["job_clusters"]}
    assert "spark.task.resource.gpu.amount" in clusters["gpu"]["spark_conf"]
    assert "spark_conf" not in clusters["cpu"]


def test_retries_agree_with_the_exit_codes() -> None:
    """One more try, later, for 75. Not more: Databricks and Serverless try the other codes again too."""
    assert {one["max_concurrent_runs"] for one in both_jobs()} == {1}
    for task in (task for one in both_jobs() for task in one["tasks"]):
        assert (task["max_retries"], task["retry_on_timeout"]) == (1, False)
        assert task["min_retry_interval_millis"] >= 600_000
    assert {run["retryPolicy"]["maxAttempts"] for run in runs().values()} == {2}
    assert {step["ActionOnFailure"] for step in steps()} == {"CANCEL_AND_WAIT"}


def test_rankers_go_to_unity_catalog() -> None:
    for cluster in (cluster for one in both_jobs() for cluster in one["job_clusters"]):
        assert cluster["new_cluster"]["spark_env_vars"]["MLFLOW_REGISTRY_URI"] == "databricks-uc"
    models = [load_config(CONF / f"databricks_{target}.yaml").mlflow for target in ("dev", "prod")]
    names = [name for mlflow in models for name in (mlflow.model_name, mlflow.encoder_model_name)]
    assert all(len(name.split(".")) == 3 for name in names)
    assert {mlflow.tracking_uri for mlflow in models} == {"databricks"}
    assert len(set(names)) == 4
    assert len({mlflow.experiment for mlflow in models}) == 2


def test_local_files_of_the_bundle_are_in_the_package() -> None:
    """`make package` puts jobs/, conf/ and the wheel beside databricks.yml."""
    text = (CONF / "databricks.yml").read_text()
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    for name in re.findall(r"(?:\./|file_path\}/)([\w./-]+)", text):
        assert (ROOT / name).exists() or name in {"conf/", f"nightrank-{version[1]}-py3-none-any.whl"}, name


def test_versions_in_the_workflows_are_the_pinned_ones() -> None:
    pins = set((ROOT / "constraints.txt").read_text().splitlines())
    named = re.findall(
        r"[\w-]+==[\w.]+", (CONF / "databricks.yml").read_text() + (CONF / "databricks_init.sh").read_text()
    )
    assert len(named) == 3
    assert set(named) <= pins


# --- EMR ---


def test_steps_and_runs_keep_the_schema() -> None:
    for step in steps():
        held("HadoopJarStep", held("StepConfig", step)["HadoopJarStep"])
        assert step["HadoopJarStep"]["Jar"] == "command-runner.jar"
        assert step["HadoopJarStep"]["Args"][0] == "spark-submit"
        # AddJobFlowSteps: the strings of one HadoopJarStep have at most 10,240 characters.
        assert sum(map(len, step["HadoopJarStep"]["Args"])) <= 10_240
    for run in runs().values():
        held("sparkSubmit", held("StartJobRun", run)["jobDriver"]["sparkSubmit"])
        assert 1 <= len(run["clientToken"]) <= 64
        assert re.fullmatch(r"[A-Za-z0-9._-]+", run["clientToken"])


def test_what_emr_is_given_is_what_the_job_opens() -> None:
    """The config and all that it extends, the zip, Delta's jar with its Python module, and the environment."""
    given = [submitted(step["HadoopJarStep"]["Args"][1:]) for step in steps()]
    given += [
        (
            submitted(submit["sparkSubmitParameters"].split(" "))[0],
            [submit["entryPoint"], *submit["entryPointArguments"]],
        )
        for submit in (run["jobDriver"]["sparkSubmit"] for run in runs().values())
    ]
    for options, called in given:
        files = {Path(name).name for name in options["--files"][0].split(",")}
        wanted = called[called.index("--config") + 1]
        while wanted:
            assert wanted in files
            wanted = yaml.safe_load((CONF / wanted).read_text()).get("extends")
        assert options["--archives"][0].endswith("environment.tar.gz#environment")
        zipped, delta = options["--py-files"][0].split(",")
        assert zipped.endswith("/nightrank.zip")
        assert delta in options["--jars"][0].split(",")
        assert {conf.split("=")[1] for conf in options["--conf"] if "PYTHON" in conf} == {"./environment/bin/python"}


def test_every_machine_is_given_the_same_blas_kernels() -> None:
    """Else a night's last bits hang on the processor that it is run on."""
    for cluster in (cluster for one in both_jobs() for cluster in one["job_clusters"]):
        assert cluster["new_cluster"]["spark_env_vars"]["OPENBLAS_CORETYPE"] == "Haswell"
    weekly = len(WEEKLY_JOBS)
    for name, number in (("emr", len(JOBS)), ("emr_encoder", weekly), ("emr_serverless", len(JOBS) + weekly)):
        assert (CONF / f"{name}.json").read_text().count("OPENBLAS_CORETYPE=Haswell") == 2 * number


def test_jobs_ask_for_gpus_where_there_are_some() -> None:
    configs = [arguments[arguments.index("--config") + 1] for place, _, arguments in every_call() if place == "emr"]
    assert [load_config(CONF / name).spark.gpu_amount_per_task > 0 for name in configs] == [
        False,
        True,
        True,
        True,
        True,
    ]


@pytest.mark.parametrize("heading", ["spark-submit", "Databricks", "EMR"])
def test_the_readme_has_commands_that_a_shell_can_read(heading: str) -> None:
    section = (ROOT / "README.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    blocks = section.split("```")[1::2]
    assert blocks
    for block in blocks:
        subprocess.run(["bash", "-n", "-c", block], check=True)
    for name in re.findall(r"conf/[\w.]+\b", section):
        assert (ROOT / name).exists(), name


# --- production configs ---


def test_prod_leaves_spark_to_the_cluster_and_asks_for_its_gpus() -> None:
    config = load_config(CONF / "prod.yaml")
    paths = [config.source.events, config.source.searches, config.source.items, config.lake.path]
    assert all(path and path.startswith("s3://") for path in paths)
    assert (config.spark.local_settings, config.spark.master) == (False, None)
    resource = "spark.executor.resource.gpu"
    shared = float(config.spark.settings[f"{resource}.amount"]) / config.spark.gpu_amount_per_task
    assert shared == float(config.spark.settings["spark.executor.cores"])
    assert config.spark.settings[f"{resource}.discoveryScript"].startswith("/")


def test_the_cpu_config_differs_by_what_the_hardware_asks_for() -> None:
    gpu, cpu, base = (load_config(CONF / name).model_dump() for name in ("prod.yaml", "prod_cpu.yaml", "base.yaml"))
    of_hardware = {"spark", "item_embeddings", "query_embeddings"}
    assert {key for key in gpu if gpu[key] != cpu[key]} == of_hardware
    assert {key: cpu[key] for key in of_hardware} == {key: base[key] for key in of_hardware}
