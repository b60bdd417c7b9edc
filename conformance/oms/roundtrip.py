"""Round trips between palladium and the Python reference implementation of OpenSSF Model Signing."""

import importlib.metadata
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

from model_signing import hashing, signing, verifying

PALLADIUM, WORK = sys.argv[1], pathlib.Path(sys.argv[2])
CURVES = {"P-256": "prime256v1", "P-384": "secp384r1", "P-521": "secp521r1"}
SERIALIZATIONS = [  # method, hash as palladium names it, as the reference does, bytes of a shard
    ("files", "sha256", "sha256", None),
    ("files", "blake2b", "blake2", None),
    ("files", "blake3", "blake3", None),
    ("shards", "sha256", "sha256", 65536),
    ("shards", "blake2b", "blake2", 65536),
]
failures = []
passed = 0


def sh(*args, ok=True):
    p = subprocess.run([str(a) for a in args], capture_output=True, text=True)
    if ok and p.returncode != 0:
        raise RuntimeError(f"{' '.join(str(a) for a in args)}: {p.stderr.strip()}")
    return p


def check(name, act):
    global passed
    try:
        note = act()
        passed += 1
        print(f"ok    {name}{': ' + note if note else ''}")
    except Exception as e:  # a failure of either side, reported and counted
        failures.append(name)
        print(f"FAIL  {name}: {type(e).__name__}: {e}")


def make_model():
    d = WORK / "model"
    for sub in ("a", "nested/deep"):
        (d / sub).mkdir(parents=True)
    (d / "a/b").write_text("in a directory\n")
    (d / "a-b").write_text("sorts before it by code point\n")
    (d / "a.b").write_text("sorts after a-b, before a/b by code point only\n")
    (d / "config.json").write_text("{}\n")
    (d / "weights é.safetensors").write_bytes(os.urandom(700_001))
    (d / "nested/deep/shard.bin").write_bytes(os.urandom(65536 * 3))
    return d


def make_keys():
    for name, curve in CURVES.items():
        sh("openssl", "ecparam", "-name", curve, "-genkey", "-noout", "-out", WORK / f"{name}.pem")
        sh("openssl", "ec", "-in", WORK / f"{name}.pem", "-pubout", "-out", WORK / f"{name}.pub")
    conf = WORK / "ca.cnf"
    conf.write_text(
        "[req]\ndistinguished_name=dn\n[dn]\n"
        "[ca]\nbasicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
        "[leaf]\nbasicConstraints=critical,CA:false\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=codeSigning\n"
        "subjectAltName=email:release@example.org\n"
    )

    def issue(name, subject, section, issuer=None):
        if not (WORK / f"{name}.pem").exists():
            sh("openssl", "ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", WORK / f"{name}.pem")
        sh("openssl", "req", "-new", "-key", WORK / f"{name}.pem", "-subj", f"/CN={subject}", "-config", conf, "-out", WORK / f"{name}.csr")
        signer = ["-CA", WORK / f"{issuer}.crt", "-CAkey", WORK / f"{issuer}.pem", "-CAcreateserial"] if issuer else ["-signkey", WORK / f"{name}.pem"]
        sh("openssl", "x509", "-req", "-in", WORK / f"{name}.csr", "-days", "30", "-extfile", conf, "-extensions", section, *signer, "-out", WORK / f"{name}.crt")

    issue("root", "test root", "ca")
    issue("between", "test intermediate", "ca", "root")
    issue("leaf", "test release", "leaf", "between")


def reference_hashing(method, algorithm, shard):
    c = hashing.Config()
    if method == "files":
        return c.use_file_serialization(hashing_algorithm=algorithm)
    return c.use_shard_serialization(hashing_algorithm=algorithm, shard_size=shard)


def reference_sign(kind, target, sig, row):
    method, _, algorithm, shard = row
    c = signing.Config()
    if kind == "certificate":
        c.use_certificate_signer(private_key=WORK / "leaf.pem", signing_certificate=WORK / "leaf.crt", certificate_chain=[WORK / "between.crt"])
    else:
        c.use_elliptic_key_signer(private_key=WORK / f"{kind}.pem")
    c.set_hashing_config(reference_hashing(method, algorithm, shard)).sign(target, sig)


def reference_verify(kind, target, sig, row):
    """Verifies as the reference does by itself; where it cannot, with the serialisation told to it."""
    method, _, algorithm, shard = row

    def config():
        c = verifying.Config()
        if kind == "certificate":
            return c.use_certificate_verifier(certificate_chain=[WORK / "root.crt"])
        return c.use_elliptic_key_verifier(public_key=WORK / f"{kind}.pub")

    try:
        config().verify(target, sig)
        return ""
    except (ValueError, TypeError) as e:
        if "Unsupported hashing method blake2b" not in str(e) and not isinstance(e, TypeError):
            raise
        config().set_hashing_config(reference_hashing(method, algorithm, shard)).verify(target, sig)
        return f"the reference needs to be told the serialisation ({e})"


def palladium_sign(kind, target, sig, row, form):
    method, algorithm, _, shard = row
    args = ["--key", WORK / "leaf.pem", "--certificate", WORK / "leaf.crt", "--chain", WORK / "between.crt"] if kind == "certificate" else ["--key", WORK / f"{kind}.pem"]
    if shard:
        args += ["--shard-size", shard]
    sh(PALLADIUM, "model", "sign", "-q", "--no-cache", "--method", method, "--hash", algorithm, "--form", form, "--signature", sig, *args, target)


def palladium_verify(kind, target, sig):
    trust = ["--roots", WORK / "root.crt", "--subject", "release@example.org"] if kind == "certificate" else ["--key", WORK / f"{kind}.pub"]
    out = json.loads(sh(PALLADIUM, "model", "verify", "-q", "--format", "json", "--signature", sig, *trust, target).stdout)
    return "; ".join(out["dialect"].get("notes", []))


def tampered(target, sig, kind):
    """A byte changed in the model is found by palladium in what the reference signed."""
    f = target / "nested/deep/shard.bin"
    data = bytearray(f.read_bytes())
    data[70000] ^= 1
    f.write_bytes(data)
    try:
        trust = ["--roots", WORK / "root.crt"] if kind == "certificate" else ["--key", WORK / f"{kind}.pub"]
        p = sh(PALLADIUM, "model", "verify", "-q", "--signature", sig, *trust, target, ok=False)
        assert p.returncode == 3 and "shard.bin" in p.stderr, p.stderr
    finally:
        data[70000] ^= 1
        f.write_bytes(data)


def token_rounds(model):
    util, module = shutil.which("softhsm2-util"), "/usr/lib/softhsm/libsofthsm2.so"
    if not util or not os.path.exists(module):
        print("skip  PKCS #11: softhsm2 is not installed")
        return
    (WORK / "tokens").mkdir()
    (WORK / "softhsm2.conf").write_text(f"directories.tokendir = {WORK}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(WORK / "softhsm2.conf")
    sh(util, "--init-token", "--free", "--label", "hsm", "--so-pin", "12345678", "--pin", "1234")
    (WORK / "pin").write_text("1234\n")
    for kind in CURVES:
        sh("openssl", "pkcs8", "-topk8", "-nocrypt", "-in", WORK / f"{kind}.pem", "-out", WORK / f"{kind}.p8")
        sh(util, "--import", WORK / f"{kind}.p8", "--token", "hsm", "--label", kind, "--id", "0" + kind[2], "--pin", "1234")
        sig = WORK / "token.sig"
        row = SERIALIZATIONS[0]

        def ours():
            sh(PALLADIUM, "model", "sign", "-q", "--no-cache", "--token", f"pkcs11:token=hsm;object={kind}?module-path={module}",
               "--passphrase-file", WORK / "pin", "--signature", sig, model)
            return reference_verify(kind, model, sig, row)

        check(f"palladium -> reference, token {kind}", ours)

        def theirs():
            sig.unlink(missing_ok=True)
            uri = f"pkcs11:token=hsm;object={kind}?module-path={module}&pin-value=1234"
            signing.Config().use_pkcs11_signer(pkcs11_uri=uri).set_hashing_config(reference_hashing("files", "sha256", None)).sign(model, sig)
            return palladium_verify(kind, model, sig)

        check(f"reference -> palladium, token {kind}", theirs)


def main():
    started = time.time()
    print("reference: model-signing", importlib.metadata.version("model-signing"), "on Python", sys.version.split()[0])
    model = make_model()
    make_keys()
    single = WORK / "one.safetensors"
    single.write_bytes(os.urandom(200_000))
    for kind in [*CURVES, "certificate"]:
        for row in SERIALIZATIONS:
            for what, target in (("directory", model), ("file", single)):
                label = f"{kind}, {row[0]}, {row[1]}, {what}"
                sig = WORK / "reference.sig"
                check(f"reference -> palladium, {label}", lambda: (reference_sign(kind, target, sig, row), palladium_verify(kind, target, sig))[1])
                if target is model:
                    check(f"tampering found, {label}", lambda: tampered(model, sig, kind))
                for form in ("interop", "reference"):
                    mine = WORK / "palladium.sig"
                    check(f"palladium -> reference, {label}, {form}", lambda: (palladium_sign(kind, target, mine, row, form), reference_verify(kind, target, mine, row))[1])
                    check(f"palladium -> palladium, {label}, {form}", lambda: palladium_verify(kind, target, mine))
                spec = WORK / "spec.sig"
                check(f"palladium -> palladium, {label}, spec", lambda: (palladium_sign(kind, target, spec, row, "spec"), palladium_verify(kind, target, spec))[1])
    token_rounds(model)
    print("skip  Sigstore: signing needs its public services; verification is tested with the reference's own bundles")
    print(f"{passed} passed, {len(failures)} failed, {time.time() - started:.0f} s")
    sys.exit(1 if failures else 0)


main()
