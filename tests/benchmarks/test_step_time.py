"""The benchmark of a step: its two sides are one mathematics, it counts right, and it reports what it found."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import step_time
import torch
from _agreement import Disagreement, compare, differences
from _meter import count
from _rounds import Rates, Ratio, alternate
from _setups import setup
from _sides import plain, product
from click.testing import CliRunner

CPU = torch.device("cpu")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("space", "relaxation"),
    [
        ("adversarialnas", "softmax"),
        ("adversarialnas", "gumbel_hard"),
        ("alphagan", "softmax"),
        ("alphagan", "gumbel_hard"),
        ("autogan", "gumbel"),
        ("autogan", "gumbel_hard"),
    ],
)
def test_scores_and_gradients_of_the_plain_form_are_the_products(space: str, relaxation: str) -> None:
    found = compare(setup("tiny", space=space, relaxation=relaxation, narrow=True, still=True))
    assert len(found) == 9 and max(found.values()) <= 1.0


@pytest.mark.timeout(60)
def test_they_are_so_however_the_product_computes() -> None:
    settings = {"compute.channels_last": True, "search.d_steps_per_g_step": 1}
    compare(setup("tiny", space="autogan", settings=settings, narrow=True, still=True))


def test_settings_reach_both_sides_and_the_retraining() -> None:
    found = setup("tiny", settings={"model.channels_g": 5, "retrain.batch_size": 9, "search.batch_size": 7})
    assert found.shape.channels_g == found.shape_retrain.channels_g == 5
    assert found.trial.search.batch_size == 7 and found.retrain.batch_size == 9


def test_the_published_search_is_as_wide_as_published() -> None:
    found = setup("adversarialnas")
    search = found.trial.search
    assert (found.shape.channels_g, found.shape.channels_d, found.shape.image_size) == (160, 80, 32)
    assert (search.batch_size, search.d_steps_per_g_step) == (60, 5)
    assert (found.shape_retrain.channels_g, found.shape_retrain.channels_d) == (256, 128)


def test_a_weight_a_hundredth_off_is_found() -> None:
    chosen = setup("tiny", space="alphagan", narrow=True, still=True)
    side, other = product(chosen, CPU), plain(chosen, CPU)
    with torch.no_grad():
        other.loop.net.generator.to_image[2].weight.mul_(1.01)
    with pytest.raises(Disagreement, match=r"search: .* relative difference"):
        differences(side, other)


@pytest.mark.parametrize("relaxation", ["softmax", "gumbel_hard"])
def test_the_gradients_that_are_compared_are_not_zero(relaxation: str) -> None:
    side = product(setup("tiny", space="alphagan", relaxation=relaxation, narrow=True, still=True), CPU)
    side.search()
    for parameter in (side.logits()["logits_g"], *side.networks()["search_d"].parameters()):
        assert parameter.grad is not None and float(parameter.grad.norm()) > 0


def test_products_results_and_live_memory_are_counted() -> None:
    weight = torch.rand(8, 16, requires_grad=True)
    x = torch.rand(4, 8)

    def call() -> None:
        y = x @ weight  # 2 * 4 * 8 * 16 FLOPs, kept: 4 * 16 floats
        z = y.sin()  # saves y
        del y
        z.sum().backward()  # one more product, for the weight: 16 * 8 floats
        weight.grad = None

    found = count(call, [weight])
    assert found.flops == 2 * (2 * 4 * 8 * 16)
    assert found.result_bytes == 4 * (4 * 16 + 8 * 16)
    # x is saved by the product and y by the sine; the weight would be saved if x needed a gradient.
    assert found.saved_bytes == 4 * (4 * 8 + 4 * 16)
    # y and z together, and more in the backward pass: its gradient, cos(y), their product, the weight's gradient.
    assert 4 * 3 * 64 <= found.peak_bytes <= 4 * (5 * 64 + 128 + 8)
    # Product, sine, sum; a one, cosine and the product with it, product: what is only looked at anew costs nothing.
    assert found.operations == 7


def test_memory_that_was_freed_is_not_counted_twice() -> None:
    def call() -> None:
        for _ in range(10):
            torch.ones(1000).mul_(2)

    found = count(call, [])
    assert found.peak_bytes == 4000 and found.operations == 20


def test_the_interval_of_a_ratio_drops_what_the_binomial_allows() -> None:
    ones = (1.0,) * 11
    found = Ratio.of(tuple(float(value) for value in (11, 1, 2, 10, 3, 9, 4, 8, 5, 7, 6)), ones)
    # Of 11 rounds two may be dropped at each end: 1 - 2 * (1 + 11 + 55) / 2^11.
    assert (found.median, found.low, found.high) == (6.0, 3.0, 9.0)
    assert found.coverage == pytest.approx(1 - 2 * 67 / 2048)
    five = Ratio.of((1.0, 2.0, 3.0, 4.0, 5.0), ones[:5])
    assert (five.low, five.high, five.coverage) == (1.0, 5.0, 0.9375)


def test_measured_rates_are_those_of_some_machine() -> None:
    found = Rates.measured(CPU, tries=1)
    assert 1e8 < found.flops_per_s < 1e14 and 1e7 < found.bytes_per_s < 1e13


def test_sides_take_turns() -> None:
    order: list[str] = []
    calls = {name: lambda name=name: (order.append(name), time.sleep(0.001)) for name in "ab"}
    times, repeats = alternate(calls, 3, CPU, least_s=0.0)
    assert repeats == 1 and "".join(order) == "ab" * 5
    assert len(times["a"].rounds) == 3 and min(times["a"].rounds) >= 0.001


@pytest.mark.timeout(60)
def test_one_round_of_a_tiny_search_is_written_as_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_time, "LEAST_S", 0.0)
    monkeypatch.setattr(Rates, "measured", lambda device: Rates(1e11, 1e10))
    arguments = ["tiny", "--rounds", "1", "--json", "--space", "autogan", "--task", "search", "--task", "sample"]
    result = CliRunner().invoke(step_time.main, [*arguments, "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    (file,) = tmp_path.iterdir()
    report = json.loads(file.read_text())
    assert file.name == f"{report['date']}-cpu-tiny-autogan.json"
    assert report == json.loads(result.stdout)
    assert report["space"] == "autogan" and set(report["tasks"]) == {"search", "sample"}
    for task in report["tasks"].values():
        for side in task["sides"].values():
            assert side["images_per_s"] == pytest.approx(task["images"] / side["median_s"])
            assert side["flops"] > 0 and side["peak_bytes"] > 0 and side["arithmetic_floor_s"] < side["median_s"]
    search = report["tasks"]["search"]
    assert search["images"] == 8 and search["sides"]["product"]["saved_bytes"] > 0
    assert step_time.table(report).count("plain / product") == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digit"], "did you mean 'digits'?"),
        (["tiny", "--space", "alphagam"], "did you mean 'alphagan'?"),
        (["tiny", "--relaxation", "gumble"], "gumbel"),
        (["tiny", "--precision", "bf61"], "bf16"),
        (["tiny", "--set", "metrics.batch_size=2"], "no setting 'metrics.batch_size' of a trial"),
    ],
)
def test_a_mistake_exits_2_and_names_what_is_right(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(step_time.main, arguments)
    assert result.exit_code == 2 and message in " ".join(result.output.split())


@pytest.mark.timeout(60)
def test_a_setting_is_timed_against_another_and_the_ratio_is_the_others_time_over_the_products() -> None:
    asked = ["tiny", "--rounds", "2", "--task", "retrain", "--json", "--set", "retrain.objective=relativistic"]
    found = CliRunner().invoke(step_time.main, [*asked, "--against", "retrain.objective=hinge"])
    assert found.exit_code == 0, found.output
    report = json.loads(found.output)
    sides = report["tasks"]["retrain"]["sides"]
    assert list(sides) == ["product", "against"] and report["settings"]["against retrain.objective"] == "hinge"
    assert sides["product"]["flops"] > 1.2 * sides["against"]["flops"], "a penalty takes another backward pass"
