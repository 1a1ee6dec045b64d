"""The named baselines: what any ranker has to beat, each a function in a file of its own. Higher scores rank first."""
