"""What is shipped: wheel, sdist and bare checkout all hold the chips' data, and start from any folder."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from neurocompile.resources import list_profiles, list_targets

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow

USE = """
import json, sys
import neurocompile
from neurocompile import resources
from neurocompile.hardware.profile import load_profile
from neurocompile.hardware.target import load_target
for name in resources.list_profiles():
    load_profile(name)
for name in resources.list_targets():
    load_target(name)
print(json.dumps([neurocompile.__file__, resources.list_profiles(), resources.list_targets()]))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an sdist and a wheel that was made from it."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        check=True, timeout=200, capture_output=True,
    )  # fmt: skip
    return folder


def use(path: Path, elsewhere: Path) -> None:
    """The package in ``path`` works from another folder, with its own data."""
    result = subprocess.run(
        [sys.executable, "-P", "-c", USE],
        check=True, timeout=60, capture_output=True, text=True, cwd=elsewhere,
        env={"PYTHONPATH": str(path), "PATH": ""},
    )  # fmt: skip
    file, profiles, targets = json.loads(result.stdout)
    assert Path(file).is_relative_to(path)
    assert profiles == list_profiles()
    assert targets == list_targets()


def test_wheel(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "wheel")
    tops = {name.split("/")[0] for name in names}
    assert tops == {"neurocompile", next(top for top in tops if top.endswith(".dist-info"))}
    assert "neurocompile/py.typed" in names
    for name in ("page.html", "page.css", "page.js"):
        assert f"neurocompile/reports/page/templates/{name}" in names
    for name in list_profiles():
        assert f"neurocompile/hw_profiles/{name}.yaml" in names
    for name in list_targets():
        assert f"neurocompile/targets/{name}.yaml" in names
    use(tmp_path / "wheel", tmp_path)


def test_sdist(built: Path, tmp_path: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (root,) = (path for path in tmp_path.iterdir() if path.is_dir())
    for name in (
        "README.md",
        "pyproject.toml",
        "hw_profiles/loihi2.yaml",
        "targets/loihi2-sim.yaml",
        "tests/conftest.py",
    ):
        assert (root / name).is_file(), name
    assert not (root / "build").exists()
    use(root, tmp_path / root.name / "tests")


def test_bare_checkout(tmp_path: Path) -> None:
    for name in ("neurocompile", "hw_profiles", "targets"):
        shutil.copytree(ROOT / name, tmp_path / "checkout" / name, ignore=shutil.ignore_patterns("__pycache__"))
    use(tmp_path / "checkout", tmp_path)


def test_the_commands_of_the_readme_are_in_the_makefile() -> None:
    goals = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    readme = (ROOT / "README.md").read_text()
    for goal in ("demo", "test", "bench", "fmt", "clean"):
        assert goal in goals
        assert f"make {goal}" in readme


def test_the_command_is_installed() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert 'neurocompile = "neurocompile.cli:main"' in text
    result = subprocess.run(
        [sys.executable, "-m", "neurocompile", "--version"], check=True, capture_output=True, text=True, timeout=60
    )
    assert f'version = "{result.stdout.strip()}"' in text
