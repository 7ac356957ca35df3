"""Weights of another library are in use after three lines, in the memory of the file."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from jaxcore import nn
from jaxcore.nn.weights.safetensors import save_arrays

LINES = """
    model = nn.models.GPT2(11, 8, num_layers=1, num_heads=2, max_length=16)
    variables, report = nn.load(path, model)
    logits = model.apply(variables, tokens)
"""


def test_three_lines_are_enough(tmp_path, rng):
    shapes = {"wte.weight": (11, 8), "wpe.weight": (16, 8), "ln_f.weight": (8,), "ln_f.bias": (8,)}
    for name in ("ln_1.weight", "ln_1.bias", "ln_2.weight", "ln_2.bias"):
        shapes[f"h.0.{name}"] = (8,)
    for name, size in {
        "attn.c_attn": (8, 24),
        "attn.c_proj": (8, 8),
        "mlp.c_fc": (8, 32),
        "mlp.c_proj": (32, 8),
    }.items():
        shapes |= {f"h.0.{name}.weight": size, f"h.0.{name}.bias": size[1:]}
    path = tmp_path / "model.safetensors"
    arrays = {f"transformer.{k}": rng.standard_normal(s, np.float32) for k, s in shapes.items()}
    save_arrays(path, arrays)
    names = {"nn": nn, "path": path, "tokens": np.array([[1, 2, 3]])}
    lines = textwrap.dedent(LINES).strip()
    assert len(lines.splitlines()) <= 3
    exec(lines, names)
    assert names["logits"].shape == (1, 3, 11) and np.isfinite(names["logits"]).all()
    assert len(names["report"].loaded) == len(arrays)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from Linux's /proc")
def test_loading_needs_the_memory_of_the_file(tmp_path):
    count, width = 16, 1024
    noise = np.random.default_rng(0).standard_normal((width, width), np.float32)
    path = tmp_path / "model.safetensors"
    save_arrays(path, {f"fc{i}.weight": noise for i in range(count)})
    code = f"""
        import os, jaxcore, jaxcore.numpy as jnp
        from jaxcore import nn

        def peak():
            lines = open("/proc/self/status").read().splitlines()
            return 1024 * int(next(line for line in lines if "VmHWM" in line).split()[1])

        names = nn.weights.NameMap(nn.weights.dense("fc{{i}}", "Dense_{{i}}", bias=False))
        kernel = lambda: jaxcore.ShapeDtypeStruct(({width}, {width}), "float32")
        like = {{"params": {{f"Dense_{{i}}": {{"kernel": kernel()}} for i in range({count})}}}}
        jnp.ones(3).block_until_ready()
        before, size = peak(), os.path.getsize({str(path)!r})
        variables, _ = nn.load({str(path)!r}, like, names)
        assert len(variables["params"]) == {count}
        print((peak() - before) / size)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert 0.9 < float(done.stdout) < 1.1, done.stdout
