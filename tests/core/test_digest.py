from __future__ import annotations

import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from naru.core.digest import ALGORITHMS, Digest, new_hash, new_key, parse_key
from naru.core.errors import DigestInvalid

SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # of no bytes
SHA512 = hashlib.sha512(b"").hexdigest()

hashes = st.one_of(
    st.binary(min_size=32, max_size=32).map(lambda raw: Digest("sha256", raw.hex())),
    st.binary(min_size=64, max_size=64).map(lambda raw: Digest("sha512", raw.hex())),
)
nonces = st.binary(min_size=4, max_size=4).map(bytes.hex)


def test_parse() -> None:
    assert Digest.parse(f"sha256:{SHA256}") == Digest("sha256", SHA256)
    assert Digest.parse(f"sha512:{SHA512}") == Digest("sha512", SHA512)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "has no algorithm"),
        ("latest", "has no algorithm"),
        (SHA256, "has no algorithm"),
        (f":{SHA256}", 'algorithm "" is not supported: use sha256 or sha512'),
        (f"md5:{SHA256[:32]}", 'algorithm "md5" is not supported'),
        (f"SHA256:{SHA256}", 'algorithm "SHA256" is not supported: use sha256 or sha512, in lower case'),
        (f"blake3:{SHA256}", 'algorithm "blake3" is not supported'),
        (f" sha256:{SHA256}", "is not supported"),
        ("sha256:", "exactly 64 characters, not 0"),
        ("sha256:baddigeststring", "exactly 64 characters, not 15"),
        (f"sha256:{SHA256[1:]}", "exactly 64 characters, not 63"),
        (f"sha256:{SHA256}0", "exactly 64 characters, not 65"),
        (f"sha256:{SHA512}", "exactly 64 characters, not 128"),
        (f"sha512:{SHA256}", "exactly 128 characters, not 64"),
        (f"sha256:{SHA256.upper()}", "0-9 and a-f in lower case"),
        (f"sha256:{SHA256[1:]}g", "0-9 and a-f in lower case"),
        (f"sha256:{SHA256}\n", "exactly 64 characters, not 65"),
        (f"sha256:{SHA256[1:]}\n", "0-9 and a-f in lower case"),
        (f"sha256:{SHA256[1:]}\N{ARABIC-INDIC DIGIT ONE}", "0-9 and a-f in lower case"),
        (f"sha256:{SHA256[1:]}\N{FULLWIDTH LATIN SMALL LETTER A}", "0-9 and a-f in lower case"),
        (f"sha256:{'../' * 21}a", "0-9 and a-f in lower case"),
        (f"sha256:{SHA256[1:]}\0", "0-9 and a-f in lower case"),
        (f"sha256:sha256:{SHA256}", "exactly 64 characters, not 71"),
        ("sha256:" + "a" * 100_000, "not 100000"),
    ],
)
def test_refused(text: str, rule: str) -> None:
    with pytest.raises(DigestInvalid) as caught:
        Digest.parse(text)
    assert rule in caught.value.message
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 500
    assert (caught.value.code, caught.value.status) == ("DIGEST_INVALID", 400)


@given(st.text() | hashes.map(str).flatmap(lambda text: st.sampled_from([text[:-1], text + "0", text.upper(), text])))
@example(f"sha256:{SHA256}")
def test_parse_accepts_only_what_it_writes(text: str) -> None:
    try:
        digest = Digest.parse(text)
    except DigestInvalid as error:
        error.message.encode()
    else:
        assert str(digest) == text
        assert digest.algorithm in ALGORITHMS


@given(hashes)
def test_round_trip(digest: Digest) -> None:
    assert Digest.parse(str(digest)) == digest


@given(st.binary(), st.sampled_from(ALGORITHMS))
def test_of_is_what_the_running_hash_says(data: bytes, algorithm: str) -> None:
    running = new_hash(algorithm)
    for byte in data:
        running.update(bytes([byte]))
    assert Digest.of(data, algorithm) == Digest.parse(f"{algorithm}:{running.hexdigest()}")
    assert running.hexdigest() == hashlib.new(algorithm, data).hexdigest()


@pytest.mark.parametrize("algorithm", ["", "md5", "SHA256", "sha256 ", "sha3_256", "\x00"])
def test_unknown_algorithms(algorithm: str) -> None:
    with pytest.raises(DigestInvalid, match="is not supported: use sha256 or sha512"):
        new_hash(algorithm)
    with pytest.raises(DigestInvalid, match="is not supported"):
        Digest.of(b"", algorithm)


def test_key_form() -> None:
    key = new_key(Digest.of(b""), "0123abcd")
    assert key == f"sha256/e3/{SHA256}.0123abcd"
    assert parse_key(key) == Digest.of(b"")


@given(hashes, nonces)
def test_key_round_trip(digest: Digest, nonce: str) -> None:
    assert parse_key(new_key(digest, nonce)) == digest


@pytest.mark.parametrize("nonce", ["", "0123abc", "0123abcde", "0123ABCD", "../../..", "0123abc\n"])
def test_bad_nonces(nonce: str) -> None:
    with pytest.raises(ValueError, match="is not a key"):
        new_key(Digest.of(b""), nonce)


@pytest.mark.parametrize(
    "digest", [Digest("sha256", "../" + SHA256[3:]), Digest("sha512", SHA256), Digest("md5", SHA256), Digest("", "")]
)
def test_no_key_of_a_digest_that_was_not_parsed(digest: Digest) -> None:
    with pytest.raises(ValueError, match="is not a key"):
        new_key(digest, "0123abcd")


@pytest.mark.parametrize(
    "key",
    [
        "",
        SHA256,
        f"sha256/e3/{SHA256}",
        f"sha256/e4/{SHA256}.0123abcd",
        f"sha256/{SHA256}.0123abcd",
        f"sha512/e3/{SHA256}.0123abcd",
        f"sha256/{SHA512[:2]}/{SHA512}.0123abcd",
        f"SHA256/e3/{SHA256}.0123abcd",
        f"/sha256/e3/{SHA256}.0123abcd",
        f"sha256/e3/{SHA256}.0123abcd/..",
        f"sha256/e3/{SHA256}.0123abcd\n",
        f"sha256/e3/{SHA256[:-1]}.0123abcd",
    ],
)
def test_bad_keys(key: str) -> None:
    with pytest.raises(ValueError, match="is not a key"):
        parse_key(key)


@given(st.text())
def test_any_text_is_a_key_or_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="is not a key"):
        parse_key(text)
