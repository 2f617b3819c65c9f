"""The hooks of pre-commit: each calls a tool of `./dev check` that is installed with it."""

from pathlib import Path

import yaml
from deploy.local.layout import ROOT


def test_each_hook_calls_a_tool_of_the_virtual_environment() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]

    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        tool, *arguments = hook["entry"].split()
        assert (ROOT / tool).is_file(), hook["id"]
        if arguments[:1] == ["-m"]:
            assert (ROOT / Path(*arguments[1].split("."))).with_suffix(".py").is_file(), hook["id"]
