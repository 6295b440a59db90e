#!/usr/bin/env python3
# test: seconds 180
"""The policy language from outside: its conformance tests, the reference implementation, the example of the document."""

import os
import shutil
import subprocess
import tarfile
import tempfile

import port
from port import Skip, check, equal

EXAMPLES = os.path.join(port.ROOT, "examples", "policy")


def policy(*words, status=0):
    p = subprocess.run([port.binary(), "policy", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       timeout=150, check=False)
    equal(p.returncode, status, "exit code of policy %s (%s)" % (words[0], p.stdout.strip()[-400:]))
    return p.stdout


def conformance_folder():
    folder = os.path.join(os.environ.get("CONFORMANCE_DIR") or os.path.join(port.ROOT, "..", "shared", "conformance"), "cedar")
    if not os.path.exists(os.path.join(folder, "corpus.tar.gz")):
        raise Skip("no %s/corpus.tar.gz (set CONFORMANCE_DIR)" % folder)
    return folder


@port.test("cedar: the generated conformance tests, decisions, reasons, errors and the validator's verdict")
def corpus():
    folder = conformance_folder()
    work = tempfile.mkdtemp(prefix="sallyport-test-")
    try:
        with tarfile.open(os.path.join(folder, "corpus.tar.gz")) as t:
            t.extractall(work)
        equal(policy("conformance", "--validate", "--jobs", "2", work).splitlines()[-1], "4720 passed, 0 failed", "corpus")
    finally:
        shutil.rmtree(work)


@port.test("cedar: the handwritten conformance tests")
def handwritten():
    last = policy("conformance", "--validate", conformance_folder()).splitlines()[-1]
    check(last.endswith(" passed, 0 failed") and not last.startswith("0 "), last)


@port.test("cedar: the same answers as cedar-wasm")
def differential():
    node = os.path.join(port.ROOT, "test", "node")
    if not os.path.exists(os.path.join(node, "node_modules", "@cedar-policy", "cedar-wasm")):
        raise Skip("npm @cedar-policy/cedar-wasm is not installed (npm ci in test/node)")
    p = subprocess.run(["node", os.path.join(node, "cedar_differential.mjs"), port.binary(), "8"], stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
    equal(p.returncode, 0, p.stdout.strip()[-1500:])


@port.test("policy: the example of the document is checked, decides both ways, passes its tests and is laid out")
def example():
    def at(name):
        return os.path.join(EXAMPLES, name)
    policy("check", "--schema", at("photos.cedarschema"), "--entities", at("photos.json"), at("photos.cedar"))
    question = ["eval", "--policies", at("photos.cedar"), "--schema", at("photos.cedarschema"), "--entities",
                at("photos.json"), "--action", 'Action::"view"', "--context", '{"ip":"10.0.0.7","mfa":false}',
                "--principal", 'User::"ben"', "--resource"]
    policy(*question, 'Photo::"tram"')
    policy(*question, 'Photo::"bar"', status=1)
    policy("test", "--cover", at("photos.tests.yaml"))
    policy("fmt", "--check", at("photos.cedar"))


port.main()
