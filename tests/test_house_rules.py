"""The rules of the house on sizes: what a person can read in one go."""

import ast
from pathlib import Path

SOURCES = sorted((Path(__file__).parents[1] / "src").rglob("*.py"))
MOST_LINES_OF_A_FILE = 330
MOST_LINES_OF_A_FUNCTION = 45


def functions(path):
    """Yield name and length of each function without its docstring."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            has_docstring = ast.get_docstring(node, clean=False) is not None
            docstring = first.end_lineno - first.lineno + 1 if has_docstring else 0
            yield node.name, node.end_lineno - node.lineno + 1 - docstring


def test_no_source_file_is_too_long():
    lengths = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert len(lengths) > 100
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES_OF_A_FILE} == {}


def test_no_function_is_too_long():
    found = [(f"{path.name}:{name}", lines) for path in SOURCES for name, lines in functions(path)]
    assert len(found) > 500
    assert [item for item in found if item[1] > MOST_LINES_OF_A_FUNCTION] == []


def test_a_docstring_does_not_count(tmp_path):
    path = tmp_path / "module.py"
    path.write_text('def long():\n    """One.\n\n    Two.\n    """\n    a = 1\n    return a\n')
    assert list(functions(path)) == [("long", 3)]
