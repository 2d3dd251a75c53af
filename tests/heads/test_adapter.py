"""What a head does with features before it reads them."""

from dataclasses import replace

import torch
from tiny import spec_of

from stvr.heads.adapter import Project, Scale
from stvr.heads.assembly import MatchingOptions, build_adapter


def test_features_of_untrained_weights_are_brought_to_size_one():
    adapter = Scale()
    maps = torch.full((2, 3, 4), 20.0)
    assert torch.equal(adapter(maps), maps)  # until it is calibrated
    adapter.calibrate(maps)
    torch.testing.assert_close(adapter(maps), torch.ones(2, 3, 4))


def test_the_program_reads_features_as_they_are():
    """Nothing stands before the paper's head unless somebody asks; a projection has a scale of its own."""
    trained = replace(spec_of(8), weights="trained.safetensors")
    kinds = [{}, {"feature_scale": "none"}, {"feature_scale": "rms"}, {"width": 4, "feature_scale": "rms"}]
    adapters = [type(build_adapter(MatchingOptions(**kind), trained)) for kind in kinds]
    assert adapters == [torch.nn.Identity, torch.nn.Identity, Scale, Project]
