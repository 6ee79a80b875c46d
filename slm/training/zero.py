"""ZeRO stages 1 and 2: the optimizer's state, and at stage 2 the gradients, spread over the workers (arXiv:1910.02054).

DeepSpeed lays each parameter group out as one flat vector, pads it to a multiple of the workers, and lets every worker
step its own part. AdamW works element by element, so a part is all that it needs. Muon needs whole matrices: each
worker gathers the momentum's directions, orthogonalises the matrices that reach into its part, and applies its part of
the result. DeepSpeed's own Muon is not used: it orthogonalises before the gradient norm is taken, so that clipping
and guards would see another quantity than at stage 0.

Checkpoints are those of stage 0: whole tensors by parameter, so any stage and any number of workers can go on from any.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributed import all_gather_single, all_reduce, gather, get_rank, get_world_size

from slm.errors import TrainingError
from slm.training.optimizer import MuonAdamW, orthogonalise


class PartitionedMuonAdamW(MuonAdamW):
    """:class:`MuonAdamW` on this worker's parts of flat parameter groups."""

    def __init__(self, whole: MuonAdamW) -> None:
        """Take over the groups of an optimizer that has not stepped yet; DeepSpeed then puts flat parts into them."""
        super().__init__(whole.param_groups)
        #: By group: the shape of each parameter, in the flat vector's order.
        self._shapes = [[parameter.shape for parameter in group["params"]] for group in self.param_groups]
        #: All groups, in their order: DeepSpeed shows a step one at a time as if there were no others.
        self._groups = list(self.param_groups)
        self._collected: dict[str, Any] | None = None

    def part(self, index: int) -> tuple[int, int]:
        """Return where this worker's part of group ``index`` begins in the flat vector, and where it ends."""
        size = self._groups[index]["params"][0].numel()
        return get_rank() * size, (get_rank() + 1) * size

    def collect(self) -> None:
        """Gather every worker's state on rank 0, for :meth:`state_dict`; every worker must call it."""
        state: dict[int, dict[str, Tensor]] = {}
        groups: list[dict[str, Any]] = []
        first = 0
        for group, shapes in zip(self.param_groups, self._shapes, strict=True):
            places = list(range(first, first + len(shapes)))
            first += len(shapes)
            groups.append({**{key: value for key, value in group.items() if key != "params"}, "params": places})
            for key, value in self.state[group["params"][0]].items():
                # A step counter is one number for the group; at stage 0 each parameter has its own.
                tensors = _split(_gathered(value), shapes) if value.ndim else [value.clone() for _ in places]
                for place, tensor in zip(places, tensors, strict=True):
                    state.setdefault(place, {})[key] = tensor
        self._collected = {"state": state, "param_groups": groups}

    def state_dict(self) -> dict[str, Any]:
        """Return what :meth:`collect` gathered, in the form that :class:`MuonAdamW` gives and takes."""
        if self._collected is None:
            raise RuntimeError("collect() must have been called by every worker since the last step")
        whole, self._collected = self._collected, None
        return whole

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take this worker's part of a whole optimizer's state, on whatever stage that was saved."""
        for index, (group, saved) in enumerate(zip(self.param_groups, state_dict["param_groups"], strict=True)):
            states = [state_dict["state"][place] for place in saved["params"]]
            begin, end = self.part(index)
            flat = group["params"][0]
            for key, value in states[0].items():
                if value.ndim:
                    whole = torch.cat([state[key].flatten() for state in states])
                    own = torch.zeros_like(flat)
                    own[: max(0, min(end, len(whole)) - begin)] = whole[begin:end].to(flat.device)
                else:
                    own = value.clone()
                self.state[flat][key] = own

    def _muon(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        """Update this worker's part; the same as :meth:`MuonAdamW._muon` on whole matrices."""
        index = next(i for i, candidate in enumerate(self._groups) if candidate is group)
        for flat in parameters:
            assert flat.grad is not None
            momentum = self.state[flat].setdefault("momentum", torch.zeros_like(flat))
            momentum.lerp_(flat.grad, 1 - group["momentum"])
            # In bf16, which is what the iteration begins with: nothing is lost, and half the bytes travel.
            update = flat.grad.lerp(momentum, group["momentum"]).bfloat16()
            everywhere = torch.empty(get_world_size() * len(update), dtype=update.dtype, device=update.device)
            all_gather_single(everywhere, update)
            direction = _directions(everywhere, self._shapes[index], *self.part(index))
            flat.mul_(1 - group["lr"] * group["weight_decay"])
            flat.add_(direction, alpha=-group["lr"])


def _directions(updates: Tensor, shapes: list[torch.Size], begin: int, end: int) -> Tensor:
    """Orthogonalise the flat vector's matrices that reach into [begin, end); return that part of the result, fp32."""
    result = torch.zeros(end - begin, device=updates.device)
    by_shape: dict[torch.Size, list[int]] = {}
    offset = 0
    for shape in shapes:
        if offset < end and offset + shape.numel() > begin:
            by_shape.setdefault(shape, []).append(offset)
        offset += shape.numel()
    for shape, offsets in by_shape.items():
        matrices = torch.stack([updates[offset : offset + shape.numel()].view(shape) for offset in offsets])
        scale = max(1.0, shape[0] / shape[1]) ** 0.5
        for offset, direction in zip(offsets, orthogonalise(matrices).float(), strict=True):
            low, high = max(begin, offset), min(end, offset + shape.numel())
            result[low - begin : high - begin] = scale * direction.flatten()[low - offset : high - offset]
    return result


def check_layout(zero: Any, model: torch.nn.Module) -> None:
    """Make sure that DeepSpeed's flat vectors hold the parameters one after the other, as is reckoned with here.

    :param zero: DeepSpeed's ZeRO optimizer of stage 1 or 2, around a :class:`PartitionedMuonAdamW`.
    :raises TrainingError: when they do not.
    """
    laid_out = 0
    for flat, group in zip(zero.bit16_groups_flat, zero.bit16_groups, strict=True):
        offset = 0
        for parameter in group:
            if parameter.data_ptr() != flat.data_ptr() + offset * flat.element_size():
                raise TrainingError("DeepSpeed has laid the parameters out in an order that ZeRO here does not know.")
            offset += parameter.numel()
        laid_out += offset
    if laid_out != sum(parameter.numel() for parameter in model.parameters()):
        raise TrainingError("DeepSpeed's ZeRO has left parameters out.")


def gradient_norm(zero: Any) -> Tensor:
    """Return the norm of the whole gradient (fp32 scalar), of which each worker holds a part; every worker calls it."""
    squares = [part.float().square().sum() for parts in zero.averaged_gradients.values() for part in parts]
    total = torch.stack(squares).sum()
    all_reduce(total)
    return total.sqrt()


def clip(zero: Any, limit: float, norm: Tensor) -> None:
    """Scale this worker's part of the gradient so that the whole has at most the norm ``limit``.

    The factor is that of :func:`torch.nn.utils.clip_grads_with_norm_`.
    """
    factor = (limit / (norm + 1e-6)).clamp(max=1.0)
    for parts in zero.averaged_gradients.values():
        for part in parts:
            part.mul_(factor)


def _gathered(part: Tensor) -> Tensor | None:
    """Collect equally sized parts on rank 0, joined on the CPU; other workers get nothing."""
    if get_rank() != 0:
        gather(part, dst=0)
        return None
    parts = [torch.empty_like(part) for _ in range(get_world_size())]
    gather(part, parts, dst=0)
    return torch.cat([piece.cpu() for piece in parts])


def _split(flat: Tensor | None, shapes: list[torch.Size]) -> list[Tensor]:
    """Cut a flat vector into tensors of their own, the padding at its end left out; without one, empty tensors."""
    if flat is None:
        return [torch.empty(0) for _ in shapes]
    pieces = torch.split(flat[: sum(shape.numel() for shape in shapes)], [shape.numel() for shape in shapes])
    return [piece.view(shape).clone() for piece, shape in zip(pieces, shapes, strict=True)]
