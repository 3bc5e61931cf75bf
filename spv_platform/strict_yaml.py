"""Reading YAML that people write: safe, of bounded size and depth, and without what hides mistakes.

What belongs here: the reading. What does not: what a file means, which the caller checks.
"""

from typing import Any

import yaml

from spv_platform.errors import UsageError

MAX_DEPTH = 64  # of trial criteria a group takes two levels, a criterion four


def load(text: str, file: str, *, max_bytes: int) -> Any:
    """The value of a YAML document. No aliases (they expand without a limit), no repeated keys (one gets lost).

    Args:
        text: the document.
        file: its name, for error messages.
        max_bytes: its size as UTF-8, at most.

    Raises:
        UsageError: `file: place: what is wrong and what to do`.
    """
    if len(text.encode(errors="replace")) > max_bytes:
        raise UsageError(f"{file}: larger than {max_bytes} bytes: split it")
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise UsageError(f"{file}: {place}not usable YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(f"{file}: not usable YAML: {type(error).__name__}: correct the file") from None


class _Loader(yaml.SafeLoader):
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.depth > MAX_DEPTH:
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "nested too deep: flatten it", mark)
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed: write the text out", mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if len(set(map(str, keys))) != len(keys):
            raise yaml.constructor.ConstructorError(None, None, "a key stands twice: remove one", node.start_mark)
        return super().construct_mapping(node, deep)
