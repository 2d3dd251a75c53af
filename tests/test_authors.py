"""The whole detector against the authors' own graph, stage by stage (TensorFlow ran it once on made weights)."""

import ast
import importlib.util

import numpy as np
import pytest
import torch

from stvr.checkpoint import from_tensorflow

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
