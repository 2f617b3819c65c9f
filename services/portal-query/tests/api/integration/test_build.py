import filecmp
import shutil
import subprocess
from pathlib import Path

import pytest

from portal_query.api.static import FOLDER

ROOT = Path(__file__).parents[5]
MODULES = ROOT / "node_modules"


@pytest.mark.skipif(
    shutil.which("npm") is None or not MODULES.is_dir(), reason="needs npm ci --ignore-scripts"
)
def test_what_is_served_is_what_the_sources_build(tmp_path: Path) -> None:
    built = tmp_path / "built"
    for command in (["run", "check"], ["run", "build", "--", f"--outdir={built}"]):
        done = subprocess.run(
            ["npm", "--silent", *command], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    made = {path.name for path in built.iterdir()}
    assert made == {path.name for path in FOLDER.iterdir() if path.suffix in {".js", ".css"}}
    for name in made:
        assert filecmp.cmp(built / name, FOLDER / name, shallow=False), (
            f"{name} is not what its sources build: run npm run build and commit it"
        )


def test_the_lock_names_no_registry() -> None:
    lock = (ROOT / "package-lock.json").read_text()
    assert "resolved" not in lock
    assert "integrity" in lock
    assert "://registry" not in lock
