"""What of a BERT is trained: LoRA beside the attention's linear layers, or whole layers, of its last ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nightrank.errors import ConfigError


class LoraLinear(nn.Module):  # type: ignore[misc]  # torch is not type-checked
    """base(x) + scale × B A x, with `base` frozen; B starts at zero, so that at first nothing changes (Hu et al. 2021).

    A: [rank, in], B: [out, rank].
    """

    def __init__(self, base: nn.Linear, rank: int, scale: float, draws: torch.Generator) -> None:
        super().__init__()
        self.base, self.scale = base, scale
        start = torch.randn(rank, base.in_features, generator=draws) / base.in_features**0.5
        self.a = nn.Parameter(start.to(base.weight))
        self.b = nn.Parameter(torch.zeros(base.out_features, rank).to(base.weight))

    def forward(self, rows: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        changed: Tensor = self.base(rows) + self.scale * ((rows @ self.a.T) @ self.b.T)
        return changed

    def merged(self) -> nn.Linear:
        """The one linear layer that gives the same."""
        with torch.no_grad():
            self.base.weight += self.scale * (self.b @ self.a)
        return self.base


def top_layers_of(network: nn.Module, layers: int) -> list[nn.Module]:
    """The last `layers` layers of a BERT, whatever its kind calls them: of its one list of modules."""
    lists = [module for module in network.modules() if isinstance(module, nn.ModuleList)]
    if len(lists) != 1:
        raise ConfigError(
            f"encoder_runs cannot tune a {type(network).__name__}: expected one list of layers, found {len(lists)}. "
            "Name another encoder."
        )
    return list(lists[0])[-layers:]


def add_lora(network: nn.Module, layers: Sequence[nn.Module], rank: int, scale: float, seed: int) -> None:
    """Freezes the network and puts LoRA beside the attention's linear layers of these layers.

    The same network and seed give the same bits. Raises ConfigError where there is none.
    """
    network.requires_grad_(False)
    draws = torch.Generator().manual_seed(seed)
    linear = [
        (layer, name, module)
        for layer in layers
        for name, module in layer.named_modules()
        if isinstance(module, nn.Linear) and "attention" in name
    ]
    if not linear:
        raise ConfigError(
            f"encoder_runs.method: expected linear layers of attention, found none in a {type(network).__name__}. Set "
            "it to 'layers', or name another encoder."
        )
    for layer, name, module in linear:
        layer.set_submodule(name, LoraLinear(module, rank, scale, draws))


def merge_lora(network: nn.Module) -> None:
    """Puts each LoRA into the weights of its linear layer: the network is again the one that it was made from."""
    for name, module in list(network.named_modules()):
        if isinstance(module, LoraLinear):
            network.set_submodule(name, module.merged())


def unfreeze(network: nn.Module, layers: Sequence[nn.Module]) -> None:
    """Freezes the network but for these layers."""
    network.requires_grad_(False)
    for layer in layers:
        layer.requires_grad_(True)
