"""The authors' program in one module: frames in, every stage by name. And its 187 TensorFlow variables into ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from stvr.backbones import I3D
from stvr.backbones.weights.load import digest, load_state
from stvr.backbones.weights.load import from_tensorflow as backbone_from_tensorflow
from stvr.heads.assembly import MatchingOptions, build_matching
from stvr.heads.boxes import in_pixels
from stvr.heads.candidates import MAX_DETECTIONS, MatchingOutputs
from stvr.heads.layouts import conv, dense, depthwise, flat, plain, xyxy
from stvr.heads.matching import MatchingHead
from stvr.kernels import spline_flow
from stvr.propagation import Recurrent
from stvr.propagation.aligners import SplineAligner, control_points
from stvr.propagation.cell import Cell
from stvr.store import FeatureSpec, as_maps, as_stored
from stvr.structures import Batch, ClipSpec, Detections, MapSpec

CLIPS_AT_ONCE = 2  # through the backbone
FRAMES_A_CLIP = 8
SAMPLERS = ("random", "first")
GATES = ("input", "transform", "forget", "output")
BACKBONE_SCOPE = "FirstStageFeatureExtractor"
MIXED_4C = MapSpec("Mixed_4c", 16, 2, 512)
CELL, SECOND_STAGE = "rnn/conv_lstm_cell", "SecondStageFeatureExtractor/RGB/block4"


class EndToEnd(nn.Module):
    """Backbone and matching head, from frames to detections (Feng et al. 2019, figure 5)."""

    def __init__(self, backbone: I3D, head: MatchingHead) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def features(self, frames: Tensor) -> Tensor:
        """frames (B, T * 8, S, S, 3) in [-1, 1] -> maps (B, T, S / 16, S / 16, 1024), time-major channels."""
        clips = frames.unflatten(1, (-1, FRAMES_A_CLIP)).flatten(0, 1).permute(0, 4, 1, 2, 3)  # (B * T, 3, 8, S, S)
        maps = torch.cat([self.backbone(part) for part in clips.split(CLIPS_AT_ONCE)])  # (B * T, 512, 2, h, w)
        return as_maps(as_stored(maps.movedim(1, -1))).unflatten(0, (len(frames), -1))

    def stages(
        self,
        reference: Tensor,
        query: Tensor,
        query_boxes: Tensor,
        ground_truth: tuple[Tensor, Tensor] | None = None,
        sampler: str = "random",
    ) -> dict[str, Tensor]:
        """Every stage by name, for tests and for the curious. One pair at a time; tensors or arrays.

        reference (1, 8 T, S, S, 3) and query (1, 8 Q, S, S, 3) float in [-1, 1]; query_boxes (1, Q, 4).
        ground_truth: boxes (N, 4) and classes (N,) for all clips, 0 another action, 1 the query's: with it the
        stages are those of a training step (anchors pruned, regions sampled) and the four weighted losses are added.
        sampler: "random", or "first", which keeps the first candidates of each kind.

        Boxes, given and returned, are xyxy in [0, 1]; A = 4800 anchors of which training keeps 1263 at 320 pixels;
        K = 32 proposals, best first, or the 16 sampled in training; lists are padded with zeros. Returned:
        features (T, h, w, 1024), query_features (Q, h, w, 1024): the backbone's, time-major channels.
        displacement (T, 9, 2), flows (T, h, w, 2): what the Warp LSTM does before each clip, (y, x) in cells; what
        stands at a cell comes from the cell minus its flow. propagated (T, h, w, 1024): the LSTM's answer.
        anchors (A, 4), rpn_codes (T, A, 4) as (tx, ty, tw, th), rpn_logits (T, A, 2): background, object.
        proposals (T, K, 4), num_proposals (T,). attention (T, K, Q): sums to 1 over the query's clips.
        codes (T, K, 2, 4): refinement if another, if the same action; logits (T, K, 3): background, other, same.
        detection_boxes (T, 30, 4), detection_scores (T, 30) in [0, 1], best first, detection_classes (T, 30) int64,
        num_detections (T,). With ground truth loss/rpn_box, loss/rpn_objectness, loss/box, loss/class: scalars.

        Raises ValueError for shapes that do not fit one another.
        """
        like = next(self.parameters())
        reference, query, query_boxes = (as_tensor(each, like) for each in (reference, query, query_boxes))
        if ground_truth is not None:
            boxes, classes = (as_tensor(each, like) for each in ground_truth)
            ground_truth = boxes.reshape(-1, 4), classes.flatten()
        check_inputs(reference, query, query_boxes, ground_truth, sampler)
        modes = {module: module.training for module in self.modules()}
        self.eval()
        self.head.train(ground_truth is not None)
        try:
            with torch.no_grad():
                return self._stages(reference, query, query_boxes, ground_truth, sampler)
        finally:
            for module, training in modes.items():
                module.training = training

    def _stages(
        self, reference: Tensor, query: Tensor, query_boxes: Tensor,
        ground_truth: tuple[Tensor, Tensor] | None, sampler: str,
    ) -> dict[str, Tensor]:  # fmt: skip
        maps, query_maps = self.features(reference), self.features(query)
        batch = batch_of(maps, query_maps, query_boxes, ground_truth)
        outputs = self.head(batch, sampler)
        scale = in_pixels(outputs.candidates.image_size, maps)
        proposals = outputs.proposals
        stages = {
            "features": maps[0],
            "query_features": query_maps[0],
            **motion(self.head, maps),
            "propagated": proposals.features,
            "anchors": proposals.anchors / scale,
            "rpn_codes": proposals.codes,
            "rpn_logits": proposals.logits,
            "proposals": outputs.candidates.boxes / scale,
            "num_proposals": outputs.candidates.mask.sum(1),
            "attention": outputs.attention,
            "codes": outputs.codes,
            "logits": outputs.logits,
            **padded(self.head.answers(outputs)),
        }
        if ground_truth is not None:
            stages |= named_losses(self.head, outputs, batch)
        return stages


def as_tensor(values: Tensor | np.ndarray, like: Tensor) -> Tensor:
    """The same numbers in the dtype and on the device of `like`."""
    held = values if isinstance(values, Tensor) else torch.from_numpy(np.ascontiguousarray(values))
    if held.dtype == torch.uint8:
        raise ValueError("wanted frames in [-1, 1] as floats, came uint8. Give frames / 127.5 - 1.")
    return held.to(like)


def check_inputs(
    reference: Tensor, query: Tensor, query_boxes: Tensor, ground_truth: tuple[Tensor, Tensor] | None, sampler: str
) -> None:
    for name, frames in (("reference", reference), ("query", query)):
        if frames.dim() != 5 or frames.shape[0] != 1 or frames.shape[-1] != 3 or frames.shape[1] % FRAMES_A_CLIP:
            raise ValueError(f"wanted {name} frames (1, 8 T, S, S, 3), came {tuple(frames.shape)}. "
                             "Give one video in whole clips of 8 frames.")
    if query_boxes.shape != (1, query.shape[1] // FRAMES_A_CLIP, 4):
        raise ValueError(f"wanted one box a query clip, (1, {query.shape[1] // FRAMES_A_CLIP}, 4), "
                         f"came {tuple(query_boxes.shape)}.")
    if ground_truth is not None and len(ground_truth[0]) != len(ground_truth[1]):
        raise ValueError(f"wanted a class for each of {len(ground_truth[0])} true boxes, came {len(ground_truth[1])}.")
    if sampler not in SAMPLERS:
        raise ValueError(f"{sampler!r} is no sampler. Choose one of {', '.join(SAMPLERS)}.")


def batch_of(
    maps: Tensor, query_maps: Tensor, query_boxes: Tensor, ground_truth: tuple[Tensor, Tensor] | None
) -> Batch:
    num_clips, num_queries = maps.shape[1], query_maps.shape[1]
    boxes, classes = ground_truth or (maps.new_zeros(0, 4), torch.zeros(0))
    return Batch(
        references={MIXED_4C.endpoint: maps},
        reference_mask=torch.ones(1, num_clips, dtype=torch.bool, device=maps.device),
        queries={MIXED_4C.endpoint: query_maps},
        query_boxes=query_boxes,
        query_mask=torch.ones(1, num_queries, dtype=torch.bool, device=maps.device),
        target_boxes=boxes.to(maps).expand(1, num_clips, -1, -1),
        target_labels=(classes.long() + 1).to(maps.device).expand(1, num_clips, -1),
        asked=torch.zeros(1, dtype=torch.long, device=maps.device),
    )


def motion(head: MatchingHead, maps: Tensor) -> dict[str, Tensor]:
    """displacement (T, 9, 2) and flows (T, H, W, 2) in cells, (y, x), of a Warp LSTM; nothing for any other."""
    cell = head.propagation.cell if isinstance(head.propagation, Recurrent) else None
    if not isinstance(cell, Cell) or not isinstance(cell.aligner, SplineAligner):
        return {}
    size, state, displacements = maps.shape[2:4], None, []
    points = control_points(*size).to(maps.device)
    for clip in head.adapter(maps).permute(1, 0, 4, 2, 3):
        hidden = torch.zeros_like(clip) if state is None else state.hidden
        displacements.append(cell.aligner.offsets([clip, hidden], points))
        _, state = cell(clip, state)
    displacement = torch.cat(displacements)
    flows = spline_flow(points, displacement, *size, order=cell.aligner.order)
    return {"displacement": displacement, "flows": flows}


def padded(detections: list[Detections]) -> dict[str, Tensor]:
    """Detections of T clips as tensors (T, 30, ...), padded with zeros; class 0 another action, 1 the query's."""
    boxes = torch.zeros(len(detections), MAX_DETECTIONS, 4)
    scores = torch.zeros(len(detections), MAX_DETECTIONS)
    classes = torch.zeros(len(detections), MAX_DETECTIONS, dtype=torch.long)
    for clip, found in enumerate(detections):
        count = len(found.boxes)
        boxes[clip, :count], scores[clip, :count], classes[clip, :count] = found.boxes, found.scores, found.labels - 1
    counts = torch.tensor([len(found.boxes) for found in detections])
    return {
        "detection_boxes": boxes, "detection_scores": scores, "detection_classes": classes, "num_detections": counts,
    }  # fmt: skip


def named_losses(head: MatchingHead, outputs: MatchingOutputs, batch: Batch) -> dict[str, Tensor]:
    return {f"loss/{name}": loss for name, loss in head.losses(outputs, batch).items()}


def from_tensorflow(variables: Mapping[str, np.ndarray]) -> EndToEnd:
    """The authors' detector from the 187 variables of their checkpoint, by their names and in their layout.

    Raises ValueError that lists what is missing, what is left over and what has another shape.
    """
    backbone = I3D("Mixed_4c")
    trunk = {name: value for name, value in variables.items() if name.startswith(BACKBONE_SCOPE)}
    load_state(backbone, backbone_from_tensorflow(trunk), "the given variables")
    head = build_matching(MatchingOptions(), authors_spec(backbone))
    unread = dict.fromkeys(name for name in variables if name not in trunk and not name.endswith("/Momentum"))
    state = translate_head(variables, unread, dict(head.state_dict()))
    if unread:
        raise ValueError(f"{len(unread)} variables belong to no part of the detector: {', '.join(sorted(unread)[:4])}.")
    head.load_state_dict(state)
    return EndToEnd(backbone, head).eval()


def authors_spec(backbone: I3D) -> FeatureSpec:
    """Features as the authors' program makes them: of frames as BGR, resized as TensorFlow 1 does."""
    weights = digest(backbone.state_dict())
    return FeatureSpec("i3d", "backbone.safetensors", weights, (MIXED_4C,), ClipSpec(), "BGR", "tf1")


def translate_head(
    variables: Mapping[str, np.ndarray], unread: dict[str, None], wanted: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Our head's state from the authors' variables; a variable that was read is taken from `unread`."""
    state = {}
    missing = sorted({name for names, _ in RULES.values() for name in names if name not in variables})
    if missing:
        raise ValueError(f"{len(missing)} of the detector's variables are missing, first {', '.join(missing[:4])}.")
    for ours, (names, convert) in RULES.items():
        value = torch.cat([convert(torch.from_numpy(np.asarray(variables[name], np.float32))) for name in names])
        if value.shape != wanted[ours].shape:
            raise ValueError(f"{names[0]!r} is {np.shape(variables[names[0]])}, which does not fit {ours} "
                             f"{tuple(wanted[ours].shape)}.")
        state[ours] = value.contiguous()
        for name in names:
            unread.pop(name, None)
    return state


def layer_rules(
    ours: str, theirs: str, convert: Callable[[Tensor], Tensor], bias: Callable[[Tensor], Tensor] = plain
) -> Rules:
    return {f"{ours}.weight": ([f"{theirs}/weights"], convert), f"{ours}.bias": ([f"{theirs}/biases"], bias)}


def bottleneck_rules(unit: int) -> Rules:
    rules: Rules = {}
    for number in (1, 2, 3):
        theirs = f"{SECOND_STAGE}/unit_{unit}/bottleneck_v1/conv{number}"
        rules[f"tail.units.{unit - 1}.conv{number}.weight"] = ([f"{theirs}/weights"], conv)
        for ours, leaf in BATCH_NORM.items():
            rules[f"tail.units.{unit - 1}.norm{number}.{ours}"] = ([f"{theirs}/BatchNorm/{leaf}"], plain)
    return rules


Rules = dict[str, tuple[list[str], Callable[[Tensor], Tensor]]]  # our name -> their names, joined, and a change
BATCH_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
RULES: Rules = {
    "propagation.cell.aligner.offsets.depthwise": ([f"{CELL}/SeparableConv2d/depthwise_weights"], flat),
    "propagation.cell.aligner.offsets.pointwise.weight": ([f"{CELL}/SeparableConv2d/pointwise_weights"], dense),
    "propagation.cell.aligner.offsets.pointwise.bias": ([f"{CELL}/SeparableConv2d/biases"], plain),
    "propagation.cell.gates.depthwise.weight": ([f"{CELL}/SeparableConv2d_1/depthwise_weights"], depthwise),
    "propagation.cell.gates.pointwise.weight": ([f"{CELL}/SeparableConv2d_1/pointwise_weights"], conv),
    "propagation.cell.gates.pointwise.bias": ([f"{CELL}/SeparableConv2d_1/biases"], plain),
    **layer_rules("propagation.cell.gates.expand", f"{CELL}/Conv", conv),
    "propagation.cell.gates.gate_norm.weight": ([f"{CELL}/{gate}/gamma" for gate in GATES], plain),
    "propagation.cell.gates.gate_norm.bias": ([f"{CELL}/{gate}/beta" for gate in GATES], plain),
    "propagation.cell.gates.memory_norm.weight": ([f"{CELL}/state/gamma"], plain),
    "propagation.cell.gates.memory_norm.bias": ([f"{CELL}/state/beta"], plain),
    **layer_rules("proposals.features", "rpn_box_predictor_features", conv),
    **layer_rules("proposals.box", "FirstStageBoxPredictor/BoxEncodingPredictor", xyxy(conv), xyxy(plain)),
    **layer_rules("proposals.objectness", "FirstStageBoxPredictor/ClassPredictor", conv),
    **layer_rules("attention.query", "att/fc_query", dense),
    **layer_rules("attention.reference", "att/fc_ref", dense),
    **layer_rules("attention.score", "att/fc_g", dense),
    **bottleneck_rules(1),
    **bottleneck_rules(2),
    **bottleneck_rules(3),
    **layer_rules("box", "SecondStageBoxPredictor/BoxEncodingPredictor", xyxy(dense), xyxy(plain)),
    **layer_rules("classifier", "SecondStageBoxPredictor/ClassPredictor", dense),
}
