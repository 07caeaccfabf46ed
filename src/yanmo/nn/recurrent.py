"""A recurrent layer: the LSTM with dropout on its recurrent weights.

LSTM: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000. Weight-drop: Merity et
al. 2017 (arXiv 1708.02182, section 2): DropConnect (Wan et al. 2013) on the hidden-to-hidden matrix, one
mask for all time steps of a forward pass, so that the recurrence itself stays one plain kernel.

One bias instead of torch's two, which only ever act by their sum. Time runs in torch's own operator: its
kernel does one product for the inputs of all time steps and one small product a step, and was measured
ahead of the same written out here with a backward pass by hand (benchmarks/LOG.md). Only a single step
is written out: the kernel packs the weights anew on each call, several times the work of one step.

Shape legend: B rows, T tokens, D features in, H features out, G = 4H: gates i, f, g, o one after another.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class LstmLayer(nn.Module):
    """One LSTM over (B, T, D)."""

    def __init__(self, d_in: int, d_out: int) -> None:
        """Build with weights drawn as ``initialise`` says, from torch's global generator."""
        super().__init__()
        self.d_out = d_out
        self.weight_dropout = 0.0
        self.input_weight = nn.Parameter(torch.empty(4 * d_out, d_in))
        self.recurrent_weight = nn.Parameter(torch.empty(4 * d_out, d_out))
        self.bias = nn.Parameter(torch.empty(4 * d_out))
        self.initialise()

    @torch.no_grad()
    def initialise(self) -> None:
        """Uniform in +-1/sqrt(H) (Merity et al. 2017, section 5); biases zero, the forget gate's one.

        A forget gate that starts open is the one initial value that matters (Jozefowicz et al. 2015, "An
        Empirical Exploration of Recurrent Network Architectures").
        """
        bound = 1 / math.sqrt(self.d_out)
        self.input_weight.uniform_(-bound, bound)
        self.recurrent_weight.uniform_(-bound, bound)
        self.bias.zero_()
        self.bias[self.d_out : 2 * self.d_out] = 1.0

    def empty_state(self, batch_size: int) -> tuple[Tensor, Tensor]:
        """Output and cell before the first token: zeros, each (B, H)."""
        zeros_BH = self.bias.new_zeros(batch_size, self.d_out)
        return zeros_BH, zeros_BH

    def forward(self, x_BTD: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run over T tokens.

        Args:
            x_BTD: input.
            state: output and cell, each (B, H), after the tokens before these.

        Returns:
            out_BTH, and the state after the last token.
        """
        recurrent_weight_GH = functional.dropout(self.recurrent_weight, self.weight_dropout, self.training)
        if x_BTD.shape[1] == 1 and not torch.is_grad_enabled():
            state = self._step(x_BTD[:, 0], state, recurrent_weight_GH)
            return state[0][:, None], state
        weights = [self.input_weight, recurrent_weight_GH, self.bias, torch.zeros_like(self.bias)]
        out_BTH, out_1BH, cell_1BH = torch.lstm(
            x_BTD,
            [part_BH[None].contiguous() for part_BH in state],
            weights,
            has_biases=True,
            num_layers=1,
            dropout=0.0,
            train=self.training,
            bidirectional=False,
            batch_first=True,
        )
        return out_BTH, (out_1BH[0], cell_1BH[0])

    def _step(
        self, x_BD: Tensor, state: tuple[Tensor, Tensor], recurrent_weight_GH: Tensor
    ) -> tuple[Tensor, Tensor]:
        out_BH, cell_BH = state
        gates_BG = functional.linear(x_BD, self.input_weight, self.bias) + out_BH @ recurrent_weight_GH.T
        i_BH, f_BH, g_BH, o_BH = gates_BG.chunk(4, dim=1)
        cell_BH = torch.sigmoid(f_BH) * cell_BH + torch.sigmoid(i_BH) * torch.tanh(g_BH)
        return torch.sigmoid(o_BH) * torch.tanh(cell_BH), cell_BH


def activation_penalty(dropped_BTH: Tensor) -> Tensor:
    """AR: SUM over tokens of the mean square of the outputs after dropout, a float32 scalar.

    Merity et al. 2017, section 4.6 (there as a mean over tokens too; the loop divides by their number).
    """
    return dropped_BTH.float().square().sum() / dropped_BTH.shape[-1]


def temporal_penalty(out_BTH: Tensor) -> Tensor:
    """TAR: SUM over tokens of the mean square of what the output, before dropout, changes by.

    Merity et al. 2017, section 4.6. A row of T tokens has T - 1 changes. A float32 scalar.
    """
    return (out_BTH[:, 1:] - out_BTH[:, :-1]).float().square().sum() / out_BTH.shape[-1]
