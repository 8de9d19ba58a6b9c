"""What a training tells of itself: energy, memory, rates, spikes, event files, pictures."""

import builtins
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from m3ae.config import load_run
from m3ae.data.stream.loader import TensorBatch
from m3ae.errors import UserError
from m3ae.model.architecture import Architecture
from m3ae.model.losses import normalise_patches
from m3ae.model.m3ae import M3AE
from m3ae.model.pictures import denormalise_patches, sheet
from m3ae.train.telemetry.cards import CARDS, peak_of
from m3ae.train.telemetry.energy import open_energy
from m3ae.train.telemetry.memory import maxrss_unit, peak_gib, peak_resident_gib
from m3ae.train.telemetry.pictures import draw_rebuilt, write_picture
from m3ae.train.telemetry.rate import matmul_rate, mfu, peak_flops
from m3ae.train.telemetry.spikes import WINDOW, SpikeWatch
from m3ae.train.telemetry.tensorboard import Board
from small_project import CHECKOUT

CPU = torch.device("cpu")
LOGS = CHECKOUT / "reports/photos/logs"

# ---- energy ------------------------------------------------------------------------------------------------


def zone(folder, name, what, micro_j, largest=1000):
    """A zone of a powercap tree, as Linux lays them out: all side by side."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    for file, value in (("name", what), ("energy_uj", micro_j), ("max_energy_range_uj", largest)):
        (folder / name / file).write_text(f"{value}\n")


def test_joules_of_all_sockets_and_of_nothing_inside_them(tmp_path):
    zones = {
        "intel-rapl:0": "package-0",
        "intel-rapl:0:0": "dram",
        "intel-rapl:1": "package-1",
        "intel-rapl:2": "psys",
    }
    for name, what in zones.items():
        zone(tmp_path, name, what, 10_000_000, 10**9)
    (tmp_path / "intel-rapl").mkdir()
    energy = open_energy(CPU, tmp_path)
    assert energy.joules() == {"processor": 0.0}
    for name, what in zones.items():
        zone(tmp_path, name, what, 12_500_000, 10**9)
    assert energy.joules() == {"processor": pytest.approx(5.0)}
    assert energy.joules() == {"processor": pytest.approx(5.0)}  # since the start, not since last asked


def test_a_socket_counter_may_begin_again(tmp_path):
    zone(tmp_path, "intel-rapl:0", "package-0", 900)
    energy = open_energy(CPU, tmp_path)
    for value, total in ((950, 50), (100, 50 + 150), (90, 50 + 150 + 990)):
        zone(tmp_path, "intel-rapl:0", "package-0", value)
        assert energy.joules()["processor"] * 1e6 == pytest.approx(total)


@pytest.mark.parametrize("break_it", ["unreadable", "empty", "absent"])
def test_no_meter_where_a_socket_cannot_be_read(tmp_path, break_it):
    if break_it != "absent":
        zone(tmp_path, "intel-rapl:0", "package-0", 900)
        zone(tmp_path, "intel-rapl:1", "package-1", 900)
    if break_it == "unreadable":  # also for root, who may read every file
        (tmp_path / "intel-rapl:1" / "energy_uj").unlink()
        (tmp_path / "intel-rapl:1" / "energy_uj").mkdir()
    if break_it == "empty":
        (tmp_path / "intel-rapl:1" / "energy_uj").write_text("")
    assert open_energy(CPU, tmp_path) is None


def test_a_count_that_fails_once_is_made_up_for(tmp_path):
    zone(tmp_path, "intel-rapl:0", "package-0", 100)
    energy = open_energy(CPU, tmp_path)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("")
    assert energy.joules() == {"processor": 0.0}
    zone(tmp_path, "intel-rapl:0", "package-0", 400)
    assert energy.joules()["processor"] * 1e6 == pytest.approx(300)


NVML = """
#include <stdio.h>
#include <string.h>
static int gpu;
int nvmlInit_v2(void) { return INIT; }
int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle) {
    *handle = &gpu;
    return strcmp(uuid, "GPU-12-34") ? 6 : 0;
}
int nvmlDeviceGetTotalEnergyConsumption(void *handle, unsigned long long *millijoules) {
    FILE *file = fopen(COUNT, "r");
    if (handle != &gpu || !file) return 999;
    int found = fscanf(file, "%llu", millijoules);
    fclose(file);
    return found == 1 ? 0 : 999;
}
"""
BEYOND_32_BITS = 2**32 + 7


@pytest.fixture
def nvml(tmp_path):
    """Makes a library with NVML's three functions, whose count (mJ) stands in the file `count`."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")

    def make(init=0):
        (tmp_path / "nvml.c").write_text(NVML)
        library = tmp_path / f"libnvml{init}.so"
        count = f'-DCOUNT="{tmp_path / "count"}"'
        subprocess.run(
            [compiler, "-shared", "-fPIC", f"-DINIT={init}", count, "-o", library, tmp_path / "nvml.c"],
            check=True,
        )
        return str(library)

    return make


class Gpu:
    """What torch says of a GPU."""

    uuid = "12-34"


def test_joules_of_the_gpu_come_from_its_driver(tmp_path, nvml, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Gpu)
    (tmp_path / "count").write_text(f"{BEYOND_32_BITS}")
    energy = open_energy(torch.device("cuda", 3), tmp_path / "no powercap", nvml())
    (tmp_path / "count").write_text(f"{BEYOND_32_BITS + 2500}")
    assert energy.joules() == {"accelerator": pytest.approx(2.5)}
    (tmp_path / "count").unlink()
    assert energy.joules() == {"accelerator": pytest.approx(2.5)}
    (tmp_path / "count").write_text("0")  # the driver was loaded anew
    assert energy.joules() == {"accelerator": pytest.approx(2.5)}
    (tmp_path / "count").write_text("1000")
    assert energy.joules() == {"accelerator": pytest.approx(3.5)}


@pytest.mark.parametrize("why", ["no library", "init fails", "another gpu", "no counter", "not nvml"])
def test_a_gpu_that_cannot_be_read_has_no_meter(tmp_path, nvml, monkeypatch, why):
    zone(tmp_path, "intel-rapl:0", "package-0", 900)
    uuid = "56" if why == "another gpu" else Gpu.uuid
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: type("Gpu", (), {"uuid": uuid}))
    if why != "no counter":
        (tmp_path / "count").write_text("5")
    library = nvml(9 if why == "init fails" else 0)
    if why == "no library":
        library = str(tmp_path / "absent.so")
    if why == "not nvml":
        library = None  # this very program, which has no such function
    assert set(open_energy(torch.device("cuda"), tmp_path, library).joules()) == {"processor"}


# ---- memory ------------------------------------------------------------------------------------------------


def test_peak_memory_keeps_what_was_given_back():
    code = (
        "import torch; from m3ae.train.telemetry.memory import peak_gib as peak; cpu = torch.device('cpu');"
        "before = peak(cpu); held = torch.ones(2**26); there = peak(cpu); del held;"
        "print(before, there, peak(cpu))"
    )
    before, there, after = map(float, subprocess.check_output([sys.executable, "-c", code]).split())
    assert there - before == pytest.approx(0.25, abs=0.02)  # 2**26 floats are a quarter of a GiB
    assert after == pytest.approx(there, abs=0.01)  # Linux counts pages in batches


def test_peak_memory_is_not_that_of_the_process_before():
    """``getrusage`` of Linux would say so: the small process is started by one that holds a GiB."""
    small = "from m3ae.train.telemetry.memory import peak_resident_gib as peak; print(peak())"
    large = f"import subprocess, sys; held = b'1' * 2**30; subprocess.run([sys.executable, '-c', {small!r}])"
    assert float(subprocess.check_output([sys.executable, "-c", large])) < 1.0


def test_without_proc_the_system_call_says_about_the_same(tmp_path):
    held = torch.ones(2**26)  # more than pytest was started with, so that both see this process
    assert peak_resident_gib(tmp_path / "absent") == pytest.approx(peak_gib(CPU), rel=0.1)
    assert len(held) == 2**26
    assert (maxrss_unit("linux"), maxrss_unit("darwin")) == (1024, 1)


# ---- rates -------------------------------------------------------------------------------------------------

PEAKS = {
    "NVIDIA H200": (67, 494.7, 989.4),
    "NVIDIA H100 80GB HBM3": (67, 494.7, 989.4),
    "NVIDIA H100 PCIe": (51, 378, 756.5),
    "NVIDIA H100 NVL": (60, 417.5, 835.5),
    "NVIDIA A100-SXM4-80GB": (19.5, 156, 312),
    "NVIDIA A100-PCIE-40GB": (19.5, 156, 312),
    "NVIDIA A100 80GB PCIe": (19.5, 156, 312),
    "NVIDIA A10": (31.2, 62.5, 125),
    "NVIDIA L4": (30.3, 60, 121),
    "NVIDIA L40": (90.5, 90.5, 181.05),
    "NVIDIA L40S": (91.6, 183, 362.05),
    "Tesla V100-SXM2-16GB": (15.7, None, None),
    "NVIDIA GeForce RTX 4090": (82.6, 82.6, 165.2),
    "NVIDIA GeForce RTX 3090": (35.6, 35.6, 71),
}


@pytest.mark.parametrize("name", PEAKS)
def test_a_card_is_known_by_the_name_that_its_driver_gives(name):
    expected = [None if peak is None else peak * 1e12 for peak in PEAKS[name]]
    assert [peak_of(name, precision) for precision in ("fp32", "tf32", "bf16")] == expected


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA A10G",
        "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
        "NVIDIA A100-SXM4-40GB MIG 2g.10gb",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 4090 D",
        "AMD Instinct MI300X",
        "",
    ],
)
def test_no_peak_is_claimed_for_a_card_that_only_sounds_alike(name):
    assert peak_of(name, "bf16") is None


def test_a_gpu_is_asked_for_its_name_and_a_processor_has_no_peak(monkeypatch):
    monkeypatch.setattr(
        torch.cuda, "get_device_name", lambda device: ["NVIDIA H200", "NVIDIA L4"][device.index]
    )
    assert peak_flops(torch.device("cuda", 1), "bf16") == 121e12
    assert peak_flops(CPU, "fp32") is None


def test_every_peak_has_its_source_and_no_precision_is_slower_than_a_finer_one():
    for card in CARDS:
        assert "NVIDIA" in card.source
        known = [peak for peak in (card.fp32, card.tf32, card.bf16) if peak is not None]
        assert known == sorted(known)


def test_the_measured_rate_is_that_of_a_loop_of_products():
    """Within a factor, and by turns: other programs run beside. The shapes count by their work."""
    import time

    shapes = [(256, 512, 512), (128, 512, 2048)]
    pairs = [(torch.ones(m, k), torch.ones(k, n)) for m, k, n in shapes]

    def naive():
        times = []
        for _ in range(10):
            began = time.perf_counter()
            for left, right in pairs:
                left @ right
            times.append(time.perf_counter() - began)
        return 2 * (256 * 512 * 512 + 128 * 512 * 2048) / np.median(times)

    before = torch.get_rng_state()
    ratios = [matmul_rate(shapes, "fp32", 0.05) / naive() for _ in range(7)]
    assert torch.equal(torch.get_rng_state(), before)
    assert 1 / 3 < np.median(ratios) < 3


def test_a_rate_is_measured_in_either_precision_within_its_time():
    import time

    began = time.perf_counter()
    assert matmul_rate([(64, 64, 64)], "bf16", 0.05) > 0
    assert time.perf_counter() - began < 10  # a tenth of a second, alone on a machine


def test_utilisation_is_a_share_of_the_rate():
    assert mfu(flops=3e12, seconds=2.0, rate=6e12) == 0.25


# ---- spikes ------------------------------------------------------------------------------------------------


def said(losses, before=0):
    """Steps at which something was said of a curve; a log already held the first ``before`` lines."""
    lines = [{"step": number, "image_loss": float(loss)} for number, loss in enumerate(losses)]
    watch = SpikeWatch(lines[:before])
    return [line["step"] for line in lines[before:] if watch.look(line)]


def noise(seed, num, std):
    return np.random.default_rng(seed).normal(0, std, num)


def test_a_spike_is_said_once_in_one_line():
    losses = 1 + noise(0, 100, 0.01)
    losses[60:64] = [1.5, 2.5, 2.0, 1.4]
    assert said(losses) == [60]
    losses[90] = 1.3
    assert said(losses) == [60, 90]
    lines = [{"step": step, "lr": 1.0, "image_loss": 0.5, "text_loss": 4.0} for step in range(20)]
    spike = {"step": 20, "lr": 1.0, "image_loss": 2.0, "text_loss": 4.0}
    assert SpikeWatch(lines).look(spike) == "loss spike at step 20: image_loss 2, 4 times its recent 0.5"


def test_a_loss_that_leaves_for_good_is_said_once():
    losses = np.concatenate([1 + noise(0, 50, 0.01), 3 + noise(1, 50, 0.01)])
    assert said(losses) == [50]


@pytest.mark.parametrize("std", [1e-5, 0.001, 0.05, 0.3])
def test_noise_on_a_plateau_is_no_spike(std):
    assert said(2 + noise(7, 20_000, std)) == []


@pytest.mark.parametrize("seed", range(5))
def test_a_falling_loss_is_no_spike(seed):
    steps = np.arange(2000)
    assert said(0.3 + 7 * np.exp(-steps / 150) + noise(seed, 2000, 0.01)) == []
    assert said(0.3 + 7 / (1 + steps) + noise(seed, 2000, 0.003)) == []


def test_nothing_is_said_in_the_first_lines():
    assert said([1, 9, 1, 9, 30, 1, 1, 90, 1, 1]) == []


def test_a_constant_loss_may_move_a_little():
    assert said([1.0] * 30 + [1.04] * 5) == []
    assert said([1.0] * 30 + [1.06] * 5) == [30]


@pytest.mark.parametrize("before", [0, 1, 15, 59, 60, 61, 62, 75, 99])
def test_after_a_resume_the_same_is_said(before):
    losses = 1 + noise(3, 100, 0.01)
    losses[[60, 61, 80]] = [1.9, 2.0, 1.7]
    everything = said(losses)
    assert everything == [60, 80]
    assert said(losses, before) == [step for step in everything if step >= before]


def test_it_does_not_share_the_log_that_it_was_given():
    """The log grows by the line that is looked at: it must not be held against itself."""
    lines = [{"step": step, "image_loss": 1.0} for step in range(WINDOW)]
    watch = SpikeWatch(lines)
    lines.append({"step": WINDOW, "image_loss": 5.0})
    assert watch.look(lines[-1]) is not None


@pytest.mark.parametrize("model", ["m3ae-b100", "mae-b100"])
def test_our_own_runs_had_no_spike_and_one_put_in_is_found(model):
    lines = [json.loads(row) for row in (LOGS / f"{model}.jsonl").read_text().splitlines()]
    watch = SpikeWatch([])
    assert [watch.look(line) for line in lines] == [None] * len(lines)
    lines[50]["image_loss"] *= 1.5
    watch = SpikeWatch([])
    assert [line["step"] for line in lines if watch.look(line)] == [lines[50]["step"]]


def test_a_value_that_is_no_number_does_not_stop_the_watch():
    losses = 1 + noise(0, 60, 0.01)
    losses[20:23], losses[40] = [np.nan, np.inf, np.nan], 5.0
    assert said(losses) == [21, 40]


# ---- TensorBoard -------------------------------------------------------------------------------------------


def events_of(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder)).Reload()


def values_of(events, tag):
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_tensorboard_reads_lines_and_pictures_back(tmp_path):
    board = Board(tmp_path / "board")
    board.write({"step": 50, "samples": 400, "image_loss": 0.5, "note": "text"})
    board.write({"step": 100, "samples": 800, "image_loss": 0.25, "lr": 0.125})
    picture = np.random.default_rng(0).integers(0, 256, (6, 4, 3), np.uint8)
    board.picture(100, picture)
    board.close()
    events = events_of(tmp_path / "board")
    assert set(events.Tags()["scalars"]) == {"samples", "image_loss", "lr"}
    assert values_of(events, "image_loss") == [(50, 0.5), (100, 0.25)]
    assert values_of(events, "lr") == [(100, 0.125)]
    (shown,) = events.Images("reconstructions")
    (tmp_path / "shown.png").write_bytes(shown.encoded_image_string)
    assert shown.step == 100
    assert np.array_equal(np.array(Image.open(tmp_path / "shown.png")), picture)


def test_a_line_can_be_read_while_the_training_goes_on(tmp_path):
    board = Board(tmp_path)
    board.write({"step": 50, "image_loss": 0.5})
    assert values_of(events_of(tmp_path), "image_loss") == [(50, 0.5)]
    board.close()


def test_after_a_resume_no_step_is_shown_twice(tmp_path):
    """Killed after step 150, with a checkpoint of step 100."""
    first = Board(tmp_path, purge_step=1)
    for step in (50, 100, 150):
        first.write({"step": step, "image_loss": 1.0})
    first.close()
    second = Board(tmp_path, purge_step=101)
    for step in (150, 200):
        second.write({"step": step, "image_loss": 2.0})
    second.close()
    assert values_of(events_of(tmp_path), "image_loss") == [(50, 1.0), (100, 1.0), (150, 2.0), (200, 2.0)]


def test_without_tensorboard_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    imported = builtins.__import__

    def absent(name, *arguments, **keywords):
        if name.partition(".")[0] == "tensorboard":
            raise ModuleNotFoundError(f"No module named {name!r}")
        return imported(name, *arguments, **keywords)

    for name in [name for name in sys.modules if "tensorboard" in name and not name.startswith("m3ae")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(UserError, match=r"pip install 'm3ae\[tensorboard\]'") as error:
        Board(tmp_path)
    assert "\n" not in str(error.value)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"event files cannot be written .*choose another folder"):
        Board(tmp_path / "file" / "board")


# ---- pictures ----------------------------------------------------------------------------------------------

SIDE, PATCH, BATCH, WORDS = 12, 4, 3, 5


def small_model(**changes):
    architecture = Architecture(
        width=16,
        depth=1,
        num_heads=2,
        decoder_width=16,
        decoder_depth=1,
        decoder_num_heads=2,
        image_px=SIDE,
        patch_px=PATCH,
        **{"vocab_size": 11, "max_tokens": WORDS, **changes},
    )
    return M3AE(architecture)


@pytest.fixture
def image_settings(in_project):
    return load_run("photos").settings.data.image


@pytest.fixture
def normalise(image_settings):
    def of(image):
        mean, std = (torch.tensor(each).view(3, 1, 1) for each in (image_settings.mean, image_settings.std))
        return (image.float() / 255 - mean) / std

    return of


def small_batch():
    return TensorBatch(
        sample=torch.arange(BATCH),
        image=torch.randint(0, 256, (BATCH, 3, SIDE, SIDE), dtype=torch.uint8),
        text=torch.randint(0, 11, (BATCH, WORDS)),
        padding=torch.arange(WORDS)[None] >= torch.tensor([5, 3, 0])[:, None],
        image_order=torch.rand(BATCH, 9).argsort(1),
        text_order=torch.rand(BATCH, WORDS).argsort(1),
        passage=torch.arange(0),
        passage_text=torch.zeros(0, WORDS, dtype=torch.long),
        passage_padding=torch.zeros(0, WORDS, dtype=torch.bool),
        passage_order=torch.zeros(0, WORDS, dtype=torch.long),
    )


def predictions(model, batch, normalise):
    words = (
        {"text": batch.text, "padding": batch.padding, "text_order": batch.text_order}
        if model.architecture.has_text
        else {}
    )
    with torch.no_grad():
        output = model(image=normalise(batch.image), image_order=batch.image_order, **words)
    return output.image_prediction


@pytest.mark.parametrize(
    "changes",
    [{}, {"vocab_size": 0}, {"norm_pix_loss": True}, {"mask_scope": "batch"}],
    ids=["m3ae", "mae", "norm_pix_loss", "one mask"],
)
def test_pictures_are_those_of_a_loop_over_patches(normalise, image_settings, changes):
    model, batch = small_model(**changes), small_batch()
    if changes.get("mask_scope") == "batch":
        batch = batch._replace(image_order=batch.image_order[:1], text_order=batch.text_order[:1])
    got = draw_rebuilt(model, batch, normalise, image_settings)
    scale = 128 // SIDE
    assert got.shape == (BATCH * SIDE * scale, 3 * SIDE * scale, 3)
    assert np.array_equal(got, np.kron(got[::scale, ::scale], np.ones((scale, scale, 1), np.uint8)))
    got = got[::scale, ::scale].astype(int)
    mean, std = np.array(image_settings.mean), np.array(image_settings.std)
    predicted = predictions(model, batch, normalise).numpy().reshape(BATCH, 9, PATCH, PATCH, 3)
    for row in range(BATCH):
        original = batch.image[row].permute(1, 2, 0).numpy().astype(int)
        assert np.array_equal(got[row * SIDE :][:SIDE, :SIDE], original)
        visible = batch.image_order[row % len(batch.image_order), :2].tolist()  # int(9 * (1 - 0.75))
        for patch in range(9):
            y, x = divmod(patch, 3)
            cell = slice(y * PATCH, (y + 1) * PATCH), slice(x * PATCH, (x + 1) * PATCH)
            masked, rebuilt = (got[row * SIDE :][:SIDE, k * SIDE :][:, :SIDE][cell] for k in (1, 2))
            if patch in visible:
                assert np.array_equal(masked, original[cell])
                assert np.array_equal(rebuilt, original[cell])
                continue
            assert np.all(masked == 128)
            values = predicted[row, patch]
            if changes.get("norm_pix_loss"):
                true = (original[cell] / 255 - mean) / std
                values = values * np.sqrt(true.var(ddof=1) + 1e-6) + true.mean()
            expected = np.clip(values * std + mean, 0, 1) * 255
            assert np.abs(rebuilt - expected).max() <= 0.5 + 1e-3


def test_drawing_leaves_the_training_as_it_was(normalise, image_settings):
    model, batch = small_model().train(), small_batch()
    modes = [module.training for module in model.modules()]
    before = torch.get_rng_state()
    first = draw_rebuilt(model, batch, normalise, image_settings)
    assert torch.equal(torch.get_rng_state(), before)
    assert [module.training for module in model.modules()] == modes
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert torch.is_grad_enabled()
    assert np.array_equal(draw_rebuilt(model, batch, normalise, image_settings), first)


def test_pictures_of_a_bf16_pass_are_nearly_those_of_fp32(normalise, image_settings):
    model, batch = small_model(), small_batch()
    exact = draw_rebuilt(model, batch, normalise, image_settings)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = draw_rebuilt(model, batch, normalise, image_settings)
    assert np.abs(exact.astype(int) - rounded).max() <= 5


def test_a_prediction_gets_its_patch_back():
    patches = torch.randn(2, 9, 48) * 3 + 1
    assert torch.allclose(denormalise_patches(normalise_patches(patches), patches), patches, atol=1e-5)


def test_large_pictures_keep_their_size():
    picture = torch.rand(1, 3, 200, 200)
    assert sheet([picture, picture]).shape == (400, 200, 3)


def test_a_written_picture_is_read_back_pixel_for_pixel(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (8, 5, 3), np.uint8)
    write_picture(tmp_path / "new folder" / "step.png", picture)
    assert np.array_equal(np.array(Image.open(tmp_path / "new folder" / "step.png")), picture)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written"):
        write_picture(tmp_path / "file" / "step.png", picture)
