"""The driver's text: made from its C source, the same wherever it is made and for every machine."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import make_driver
from slalom.backends.llvm.compile import object_for

CLANG = """\
; ModuleID = 'driver.c'
source_filename = "driver.c"
target datalayout = "e-m:e"
target triple = "x86_64-unknown-unknown"

%struct.Ask = type { ptr }

; Function Attrs: nounwind
define dso_local zeroext i1 @asks(ptr nocapture noundef %a, i1 noundef zeroext %b) local_unnamed_addr #0 {
entry:
  %at = alloca i8, align 1
  call void @llvm.lifetime.start.p0(i64 1, ptr nonnull %at) #2
  %0 = load ptr, ptr %a, align 8, !tbaa !5
  %call = tail call zeroext i1 %0(ptr noundef %a, i1 noundef zeroext %b) #2, !srcloc !7
  br label %end

end:                                              ; preds = %entry
  ret i1 %call
}

; Function Attrs: argmemonly
declare void @llvm.lifetime.start.p0(i64 immarg, ptr nocapture) #1

attributes #0 = { nounwind "target-cpu"="x86-64" }

!llvm.ident = !{!4}
!4 = !{!"clang version"}
"""  # noqa: E501

PORTABLE = """\
%struct.Ask = type { ptr }

define zeroext i1 @asks(ptr noundef %a, i1 noundef %b) nounwind "no-builtins" {
entry:
  %at = alloca i8, align 1
  %0 = load ptr, ptr %a, align 8
  %call = tail call i1 %0(ptr noundef %a, i1 noundef zeroext %b)
  br label %end

end:
  ret i1 %call
}
"""

SOURCE = """\
#include <stdbool.h>
#include <stdint.h>
typedef struct { bool (*good)(void *); int64_t n; void **items; } List;
static int64_t at(List *list, int64_t i) { return list->good(list->items[i]) ? i : -1; }
int64_t find(List *list) {
    for (int64_t i = 0; i < list->n; i++)
        if (at(list, i) >= 0) return i;
    return -1;
}
void clear(char *x, int64_t n) { for (int64_t i = 0; i < n; i++) x[i] = 0; }
"""


def _compiler() -> bool:
    try:
        return importlib.metadata.version("ziglang") == make_driver.ZIG
    except importlib.metadata.PackageNotFoundError:
        return False


COMPILER = pytest.mark.skipif(not _compiler(), reason=f"ziglang {make_driver.ZIG} is not installed")


def test_what_holds_for_one_machine_is_taken_out():
    assert make_driver.portable(CLANG) == PORTABLE


def test_without_the_compiler_it_says_which(monkeypatch, tmp_path):
    monkeypatch.setattr(make_driver.importlib.metadata, "version", lambda _name: "0.1")
    with pytest.raises(SystemExit, match=r"ziglang is 0\.1; pip install ziglang==0\.13\.0"):
        make_driver.main([str(tmp_path / "driver.c")])


@COMPILER
def test_a_change_of_either_file_is_seen(tmp_path, capfd):
    source = tmp_path / "driver.c"
    source.write_text(SOURCE)
    assert make_driver.main([str(source), "--check"]) == 1
    assert not source.with_suffix(".ll").exists()
    assert make_driver.main([str(source)]) == 0
    text = source.with_suffix(".ll").read_text()
    assert make_driver.main([str(source), "--check"]) == 0
    assert str(tmp_path) not in text
    for triple in ("x86_64-unknown-linux-gnu", "arm64-apple-macosx11", "x86_64-pc-windows-msvc"):
        assert b"memset" not in object_for(text, triple)  # it may not be there to be called
    source.with_suffix(".ll").write_text(text.replace("icmp", "ICMP", 1))
    assert make_driver.main([str(source), "--check"]) == 1
    source.with_suffix(".ll").write_text(text)
    source.write_text(SOURCE.replace("return -1", "return -2"))
    capfd.readouterr()
    assert make_driver.main([str(source), "--check"]) == 1
    assert "-2" in capfd.readouterr().out
    source.write_text("nonsense")
    with pytest.raises(SystemExit, match="does not compile"):
        make_driver.main([str(source)])


@COMPILER
def test_what_is_shipped_is_what_the_source_says(capfd):
    if not make_driver.SOURCE.exists():
        pytest.skip("there is no driver.c")
    assert make_driver.main(["--check"]) == 0, capfd.readouterr().out
