"""LoRA: nothing changes at first, only it learns, and merged it is the network that it was beside."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import (
    AutoModel,
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    RobertaConfig,
    RobertaModel,
)

from encoder_shop import save_word_bert
from nightrank.errors import ConfigError
from nightrank.models.encoder_module import TextEncoder
from nightrank.models.lora import LoraLinear, add_lora, merge_lora, top_layers_of, unfreeze
from nightrank.sections import EncoderConfig

IDS = torch.tensor([[2, 5, 9, 3], [2, 7, 8, 3]])
SMALL = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}


def networks() -> list[nn.Module]:
    torch.manual_seed(0)
    distil = DistilBertConfig(vocab_size=12, dim=16, n_layers=3, n_heads=2, hidden_dim=32)
    kinds = [BertModel(BertConfig(vocab_size=12, **SMALL)), RobertaModel(RobertaConfig(vocab_size=12, **SMALL))]
    return [kind.eval() for kind in (*kinds, DistilBertModel(distil))]


def hidden(network: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return network(input_ids=IDS).last_hidden_state


@pytest.mark.parametrize("network", networks(), ids=lambda network: type(network).__name__)
def test_merged_it_gives_what_it_gave_beside_the_network(network: nn.Module) -> None:
    before, names = hidden(network), {name for name, _ in network.named_parameters()}
    add_lora(network, top_layers_of(network, 2), rank=4, scale=2.0, seed=1)
    torch.testing.assert_close(hidden(network), before, rtol=0, atol=0)
    learning = {name for name, values in network.named_parameters() if values.requires_grad}
    # Query, key, value and output of two layers, A and B of each; nothing of the first layer.
    assert len(learning) == 2 * 4 * 2
    assert not [name for name in learning if "layer.0." in name]
    draws = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name in sorted(learning):
            values = network.get_parameter(name)
            values.copy_(values + 0.3 * torch.randn(values.shape, generator=draws))
    beside = hidden(network)
    assert (beside - before).abs().max() > 1e-2
    merge_lora(network)
    torch.testing.assert_close(hidden(network), beside, rtol=1e-4, atol=1e-5)
    assert {name for name, _ in network.named_parameters()} == names


@pytest.mark.parametrize("network", networks(), ids=lambda network: type(network).__name__)
def test_the_layers_that_learn_give_what_the_network_gives(network: nn.Module) -> None:
    model = TextEncoder(network, None, EncoderConfig(max_tokens=16), "cpu", trained=2)
    texts = [tuple(row) for row in IDS.tolist()]
    expected = nn.functional.normalize(hidden(network).mean(dim=1), dim=1)
    with torch.no_grad():
        torch.testing.assert_close(model(texts), expected)
        model.keep(texts[:1])
        torch.testing.assert_close(model([(2, 3), *texts])[1:], expected)


def test_it_is_base_plus_scale_times_b_a_x() -> None:
    base, x = nn.Linear(3, 2), torch.tensor([1.0, -2.0, 0.5])
    lora = LoraLinear(base, rank=1, scale=3.0, draws=torch.Generator().manual_seed(0))
    with torch.no_grad():
        lora.a.copy_(torch.tensor([[2.0, 1.0, 4.0]]))
        lora.b.copy_(torch.tensor([[1.0], [-1.0]]))
        product = 2.0 * 1.0 + 1.0 * -2.0 + 4.0 * 0.5
        expected = base(x) + 3.0 * torch.tensor([product, -product])
        torch.testing.assert_close(lora(x), expected)
        torch.testing.assert_close(lora.merged()(x), expected)


def test_whole_layers_learn_and_nothing_below_them(tmp_path: Path) -> None:
    network = AutoModel.from_pretrained(save_word_bert(tmp_path))
    unfreeze(network, top_layers_of(network, 1))
    learning = {name for name, values in network.named_parameters() if values.requires_grad}
    assert learning == {name for name, _ in network.named_parameters() if "layer.1." in name}


def test_a_network_without_one_list_of_layers_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot tune a Linear: expected one list of layers, found 0"):
        top_layers_of(nn.Linear(2, 2), 1)
    with pytest.raises(ConfigError, match="expected linear layers of attention, found none"):
        add_lora(nn.Linear(2, 2), [nn.Sequential(nn.Linear(2, 2))], 1, 1.0, 1)
