"""Region graphs, held to sums in NumPy and to the shapes and sizes of the paper's model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stvr.heads.graphs import GraphConvolution, RegionGraph, SimilarityGraph, space_time_graphs

FRAMES, BOXES, WIDTH = 16, 10, 512  # of the paper: 16 feature frames of 10 boxes, 512 channels


def drawn(batch=2, frames=FRAMES, boxes=BOXES, seed=0):
    """Boxes (B, N, 4), clips (N,), mask (B, N): the last box of every frame of the first item is padding."""
    random = torch.Generator().manual_seed(seed)
    low = torch.rand(batch, frames * boxes, 2, generator=random) * 0.6
    corners = torch.cat([low, low + 0.1 + 0.3 * torch.rand(batch, frames * boxes, 2, generator=random)], -1)
    clips = torch.arange(frames).repeat_interleave(boxes)
    mask = torch.ones(batch, frames * boxes, dtype=torch.bool)
    mask[0, boxes - 1 :: boxes] = False
    return corners * mask[..., None], clips, mask


def iou(one, other):
    """Of two boxes, by hand."""
    sides = [min(one[axis + 2], other[axis + 2]) - max(one[axis], other[axis]) for axis in (0, 1)]
    shared = max(sides[0], 0) * max(sides[1], 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared) if sum(areas) else 0.0


def test_the_graphs_of_the_paper_have_160_nodes_and_rows_that_sum_to_one_or_zero():
    boxes, clips, mask = drawn()
    similar = SimilarityGraph(WIDTH)(torch.randn(2, FRAMES * BOXES, WIDTH), mask)
    for graph in (similar, *space_time_graphs(boxes, clips, mask)):
        assert graph.shape == (2, 160, 160)
        sums = graph.sum(-1)
        assert bool(((sums - 1).abs().minimum(sums.abs()) < 1e-5).all())
        assert bool((graph[~mask] == 0).all())
        assert bool((graph.mT[~mask] == 0).all())
    torch.testing.assert_close(similar.sum(-1)[mask], torch.ones(int(mask.sum())))


def test_nothing_follows_the_last_frame_nor_comes_before_the_first():
    forward, backward = space_time_graphs(*drawn())
    assert bool((forward[:, -BOXES:] == 0).all())
    assert bool((backward[:, :BOXES] == 0).all())
    assert bool((forward[1, :BOXES].sum(-1) > 0.99).any())


def test_weights_are_shares_of_the_overlap_with_the_next_frame():
    boxes, clips, mask = drawn(1, 3, 4)
    forward, backward = space_time_graphs(boxes, clips, mask)
    real, corners = mask[0].tolist(), boxes[0].tolist()
    for graph, step in ((forward, 1), (backward, -1)):
        wanted = np.array([[iou(one, other) * (there == here + step) * both * real[column]
                            for column, (other, there) in enumerate(zip(corners, clips.tolist(), strict=True))]
                           for one, here, both in zip(corners, clips.tolist(), real, strict=True)])  # fmt: skip
        sums = wanted.sum(1, keepdims=True)
        assert (sums > 0).any()
        np.testing.assert_allclose(graph[0], wanted / np.where(sums, sums, 1), atol=1e-6)


def test_likeness_is_a_softmax_over_the_nodes_there_are():
    graph, nodes = SimilarityGraph(5), torch.randn(1, 4, 5)
    found = graph(nodes, torch.tensor([[True, True, False, True]]))[0].detach().numpy()
    x, source, target = (each.detach().numpy() for each in (nodes[0], graph.source.weight, graph.target.weight))
    logits = np.array([[(source @ x[i]) @ (target @ x[j]) for j in (0, 1, 3)] for i in (0, 1, 3)])
    wanted = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(found[np.ix_([0, 1, 3], [0, 1, 3])], wanted, rtol=1e-5)


def test_a_convolution_is_the_sum_of_its_graphs_then_layer_norm_then_relu():
    layer, nodes, graphs = GraphConvolution(6, 2), torch.randn(1, 3, 6), torch.rand(2, 1, 3, 3)
    found = layer(nodes, list(graphs))[0].detach().numpy()
    weights = [each.weight.detach().numpy() for each in layer.weights]
    summed = sum(graph[0].numpy() @ nodes[0].numpy() @ weight.T for graph, weight in zip(graphs, weights, strict=True))
    normal = (summed - summed.mean(1, keepdims=True)) / np.sqrt(summed.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(found, np.maximum(normal, 0), rtol=1e-4, atol=1e-5)


def test_it_has_the_papers_weights_and_gradients_reach_all_of_them():
    network = RegionGraph(WIDTH)
    sizes = {name: sum(each.numel() for each in part.parameters()) for name, part in network.named_children()}
    norms = 3 * 2 * WIDTH
    assert sizes["similarity"] == 524_288
    assert sizes["by_likeness"] == 786_432 + norms
    assert sizes["by_overlap"] == 1_572_864 + norms
    boxes, clips, mask = drawn(1)
    network(0.1 * torch.randn(1, FRAMES * BOXES, WIDTH), boxes, clips, mask).square().sum().backward()
    for name, weight in network.named_parameters():
        assert float(weight.grad.abs().sum()) > 0, name


def test_its_outputs_are_of_the_size_of_its_inputs():
    boxes, clips, mask = drawn()
    nodes = torch.randn(2, FRAMES * BOXES, WIDTH)
    with torch.no_grad():
        size = RegionGraph(WIDTH)(nodes, boxes, clips, mask)[mask].square().mean().sqrt()
    assert 0.3 < float(size / nodes.square().mean().sqrt()) < 3


@pytest.mark.parametrize("seed", [0, 1])
def test_padding_changes_nothing(seed):
    network, (boxes, clips, mask) = RegionGraph(8), drawn(2, 4, 3, seed)
    nodes = torch.randn(2, 12, 8)
    found = network(nodes, boxes, clips, mask)
    kept = mask[0]
    alone = network(nodes[:1, kept], boxes[:1, kept], clips[kept], mask[:1, kept])
    torch.testing.assert_close(found[:1, kept], alone)
    assert bool((found[0, ~kept] == 0).all())


def test_a_graph_of_padding_alone_is_zeros_with_finite_gradients():
    network, (boxes, clips, mask) = RegionGraph(8), drawn(1, 2, 3)
    found = network(torch.zeros(1, 6, 8), boxes * 0, clips, torch.zeros_like(mask))
    found.sum().backward()
    assert bool((found == 0).all())
    assert all(bool(each.grad.isfinite().all()) for each in network.parameters())
