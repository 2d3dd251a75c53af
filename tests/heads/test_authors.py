"""The whole detector against the authors' own graph, stage by stage (TensorFlow ran it once on made weights)."""

import ast
import importlib.util

import numpy as np
import pytest
import torch

from stvr.heads.authors import from_tensorflow

YX = [1, 0, 3, 2]  # their boxes are [ymin, xmin, ymax, xmax]


@pytest.fixture(scope="module")
def made(shared):
    path = shared / "data/reference_values/end_to_end/weights_and_clips.py"
    spec = importlib.util.spec_from_file_location("weights_and_clips", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def cases(shared):
    return {name: np.load(shared / f"data/reference_values/end_to_end/{name}.npz") for name in ("infer", "train")}


@pytest.fixture(scope="module")
def variables(made, cases):
    named = (str(entry).split(" ", 1) for entry in cases["infer"]["variables"])
    return {name: made.weight(name, ast.literal_eval(shape)) for name, shape in named}


@pytest.fixture(scope="module")
def detector(variables):
    return from_tensorflow(variables)


@pytest.fixture(scope="module")
def inputs(made, cases):
    parts = [made.clip(24, phase=0.7, vx=-2.0, vy=2.5), made.clip(24, phase=2.4, vx=6.0, vy=-4.0)[:, ::-1] * 0.8]
    query = np.concatenate(parts).astype(np.float32)
    boxes = torch.from_numpy(cases["infer"]["in|query_box"])[None][..., YX]
    return torch.from_numpy(made.clip(48))[None], torch.from_numpy(query)[None], boxes


@pytest.fixture(scope="module")
def inference(detector, inputs):
    return detector.stages(*inputs)


@pytest.fixture(scope="module")
def training(detector, inputs, cases):
    boxes = torch.from_numpy(cases["train"]["in|gt_boxes"])[:, YX]
    classes = torch.from_numpy(cases["train"]["in|gt_classes"]).argmax(1)
    return detector.stages(*inputs, ground_truth=(boxes, classes), sampler="first")


def close(ours, theirs, tolerance):
    np.testing.assert_allclose(ours.numpy(), theirs, atol=tolerance, rtol=0)


def test_features_equal(inference, cases):
    close(inference["features"][..., ::37], cases["infer"]["cap|i3d_ref|c0::37"], 1e-5)
    close(inference["query_features"][..., ::37], cases["infer"]["cap|i3d_query|c0::37"], 1e-5)


def test_flows_and_propagated_features_equal(inference, cases):
    theirs = np.concatenate([cases["infer"][f"cap|warp_flow{step:02d}"] for step in range(0, 12, 2)])
    close(inference["flows"], theirs, 2e-3)
    close(inference["propagated"][..., ::37], cases["infer"]["rpn_features_to_crop|c0::37"], 2e-3)


def test_anchors_and_proposals_equal(inference, cases):
    close(320 * inference["anchors"][:, YX], cases["infer"]["anchors"], 1e-3)
    close(320 * inference["proposals"][..., YX], cases["infer"]["proposal_boxes"], 0.05)
    close(inference["num_proposals"], cases["infer"]["num_proposals"], 0)


def test_attention_equals(inference, cases):
    close(inference["attention"].flatten(0, 1), cases["infer"]["cap|attention00"], 1e-3)


def test_detections_equal(inference, cases):
    close(inference["detection_boxes"][..., YX], cases["infer"]["det|detection_boxes"], 1e-3)
    close(inference["detection_scores"], cases["infer"]["det|detection_scores"], 1e-3)
    close(inference["detection_classes"], cases["infer"]["det|detection_classes"], 0)
    close(inference["num_detections"], cases["infer"]["det|num_detections"], 0)


def test_training_prunes_the_anchors_that_theirs_prunes(training, cases):
    close(320 * training["anchors"][:, YX], cases["train"]["anchors"], 1e-3)
    close(320 * training["proposals"][..., YX], cases["train"]["proposal_boxes"], 0.05)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("rpn_box", "RPNLoss|localization_loss"), ("rpn_objectness", "RPNLoss|objectness_loss"),
     ("box", "BoxClassifierLoss|localization_loss"), ("class", "BoxClassifierLoss|classification_loss")],
)  # fmt: skip
def test_losses_equal(training, cases, ours, theirs):
    assert training[f"loss/{ours}"].item() == pytest.approx(cases["train"][f"loss|Loss|{theirs}"].item(), rel=1e-4)


def test_what_is_missing_or_too_much_is_named(variables):
    short = {name: value for name, value in variables.items() if name != "att/fc_g/weights"}
    with pytest.raises(ValueError, match="att/fc_g/weights"):
        from_tensorflow(short)
    with pytest.raises(ValueError, match="extra/w"):
        from_tensorflow({**variables, "extra/w": np.zeros(3)})


@pytest.fixture(scope="module")
def small(detector):
    """One black clip of 64 pixels asked of one, as keyword arguments that a test may replace."""
    frames = np.zeros((1, 8, 64, 64, 3))
    return {"reference": frames, "query": frames, "query_boxes": np.array([[[0.1, 0.2, 0.8, 1.0]]])}


@pytest.mark.parametrize("classes", [np.array([0, 1]), np.array([0.0, 1.0]), torch.tensor([0, 1])])
def test_arrays_and_tensors_of_any_number_type_are_taken(detector, small, classes):
    truth = (np.array([[1.0, 1.0, 0.3, 0.4], [0.9, 0.5, 0.1, 0.1]])[:, ::-1], classes)  # strides below zero
    given = {name: torch.from_numpy(value).requires_grad_() for name, value in small.items()}
    arrays = detector.stages(**small, ground_truth=truth, sampler="first")
    tensors = detector.stages(**given, ground_truth=tuple(map(torch.as_tensor, (truth[0].copy(), classes))),
                              sampler="first")  # fmt: skip
    for name in arrays:
        torch.testing.assert_close(arrays[name], tensors[name], rtol=0, atol=0)


def test_without_a_true_box_no_box_is_learnt(detector, small):
    stages = detector.stages(**small, ground_truth=(torch.zeros(0, 4), torch.zeros(0)))
    assert stages["loss/rpn_box"] == stages["loss/box"] == 0
    assert stages["loss/rpn_objectness"] > 0
    assert stages["loss/class"] > 0


def test_stages_leave_every_part_in_the_mode_it_was_in(detector, small):
    detector.head.train()
    detector.stages(**small)
    assert detector.head.training
    assert not detector.backbone.training
    detector.eval()


@pytest.mark.parametrize(("change", "says"), [
    ({"reference": np.zeros((1, 9, 64, 64, 3))}, r"whole clips of 8"),
    ({"query": np.zeros((1, 16, 64, 64, 3))}, r"\(1, 2, 4\), came \(1, 1, 4\)"),
    ({"query": np.zeros((1, 8, 64, 64, 3), np.uint8)}, "came uint8"),
    ({"sampler": "last"}, "no sampler"),
    ({"ground_truth": (np.zeros((2, 4)), np.zeros(1))}, "each of 2 true boxes, came 1"),
])  # fmt: skip
def test_what_does_not_fit_is_told(detector, small, change, says):
    with pytest.raises(ValueError, match=says):
        detector.stages(**{**small, **change})
