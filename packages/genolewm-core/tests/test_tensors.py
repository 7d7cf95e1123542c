"""Reading safetensors: numpy and hand-laid bytes say what a file holds; a broken one is refused in one way."""

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genolewm_core.artifacts.tensors import read_header, read_tensor
from genolewm_core.errors import ProvenanceError

PATH = Path("folder/model.safetensors")
GOOD = {"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}


def laid_out(header, payload=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + payload


def parse(data):
    file = BytesIO(data)
    entries = read_header(file, len(data), PATH)
    return {name: read_tensor(file, entry, PATH).float32() for name, entry in entries.items()}


def refusal(data):
    with pytest.raises(ProvenanceError) as caught:
        parse(data)
    assert caught.value.code == "tensor-file-invalid"
    assert caught.value.where == PATH.name
    return caught.value


def one(dtype, array):
    entry = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [0, array.nbytes]}
    return laid_out({"__metadata__": {"format": "pt"}, "x": entry}, array.tobytes())


@given(st.lists(st.floats(width=32), min_size=1, max_size=20))
def test_fp32_comes_back_bit_by_bit(values):
    array = np.array(values, dtype="<f4")
    found = parse(one("F32", array))["x"]
    assert found.dtype == np.float32
    assert found.tobytes() == array.tobytes()


@given(st.lists(st.floats(width=16, allow_nan=False), min_size=1, max_size=20))
def test_fp16_becomes_the_fp32_of_the_same_value(values):
    array = np.array(values, dtype="<f2")
    found = parse(one("F16", array))["x"]
    assert found.dtype == np.float32
    assert np.array_equal(found, array.astype(np.float32))


@given(st.lists(st.integers(0, 2**16 - 1), min_size=1, max_size=20))
def test_bf16_is_the_upper_half_of_fp32(halves):
    array = np.array(halves, dtype="<u2")
    found = parse(one("BF16", array))["x"]
    assert found.dtype == np.float32
    assert np.array_equal(found.view(np.uint32), array.astype(np.uint32) << 16)


@pytest.mark.parametrize(
    ("bits", "value"), [(0x3F80, 1.0), (0xC040, -3.0), (0x3DCD, 0.10009765625), (0x7F80, np.inf)]
)
def test_bf16_values_known_by_hand(bits, value):
    assert parse(one("BF16", np.array([bits], dtype="<u2")))["x"].tolist() == [value]


def test_several_tensors_in_any_order_of_the_header():
    header = {
        "late": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]},
        "early": {"dtype": "F16", "shape": [2, 1], "data_offsets": [0, 4]},
        "scalar": {"dtype": "F32", "shape": [], "data_offsets": [12, 16]},
    }
    payload = np.array([1, 2], "<f2").tobytes() + np.array([3, 4, 5], "<f4").tobytes()
    found = {name: array.tolist() for name, array in parse(laid_out(header, payload)).items()}
    assert found == {"late": [3, 4], "early": [[1], [2]], "scalar": 5}


def test_no_tensors_are_no_error():
    assert parse(laid_out({})) == {}


def entry(**changes):
    return laid_out({"a": {**GOOD["a"], **changes}}, bytes(24))


BROKEN = {
    "empty file": b"",
    "seven bytes": bytes(7),
    "header longer than the file": (100).to_bytes(8, "little") + b"{}",
    "header of 2^64 - 1 bytes": b"\xff" * 8 + b"{}",
    "empty header": bytes(8),
    "header is no JSON": laid_out(b"{'a': 1}"),
    "header is no text": laid_out(b"\xff\xfe\xfd"),
    "header is a list": laid_out([]),
    "header nested without end": laid_out(b"[" * 200_000),
    "objects nested without end": laid_out(b'{"a":' * 200_000),
    "a number of 5,000 digits": laid_out(b'{"a":' + b"9" * 5_000 + b"}"),
    "truncated": laid_out(GOOD, bytes(23)),
    "bytes at the end": laid_out(GOOD, bytes(25)),
    "entry is a number": laid_out({"a": 1}),
    "entry is a string": laid_out({"a": "dtype"}),
    "entry is a list": laid_out({"a": []}),
    "entry is null": laid_out({"a": None}),
    "entry is empty": laid_out({"a": {}}),
    "dtype is a list": entry(dtype=[]),
    "dtype is an object": entry(dtype={}),
    "dtype is null": entry(dtype=None),
    "dtype of eight bytes": entry(dtype="F64"),
    "shape is a number": entry(shape=6),
    "shape is a string": entry(shape="23"),
    "shape of strings": entry(shape=["2", "3"]),
    "shape of lists": entry(shape=[[2], [3]]),
    "fractional shape": entry(shape=[2.0, 3.0]),
    "boolean shape": entry(shape=[True, 6]),
    "negative shape": entry(shape=[-2, -3]),
    "empty axis": entry(shape=[0, 3], data_offsets=[0, 0]),
    "empty axis beside an endless one": entry(shape=[0, 2**80], data_offsets=[0, 0]),
    "more axes than numpy has": entry(shape=[1] * 100 + [6]),
    "shape larger than the offsets": entry(shape=[2, 4]),
    "endless shape": entry(shape=[2**62, 2**62]),
    "one offset": entry(data_offsets=[0]),
    "three offsets": entry(data_offsets=[0, 24, 24]),
    "offsets are null": entry(data_offsets=None),
    "offsets are strings": entry(data_offsets=["0", "24"]),
    "offset is true": laid_out({"a": {"dtype": "F16", "shape": [1], "data_offsets": [False, 2]}}, bytes(2)),
    "offsets in the wrong order": entry(data_offsets=[24, 0]),
    "negative offset": entry(data_offsets=[-24, 0]),
    "offsets beyond the file": entry(data_offsets=[24, 48]),
    "gap before the first": laid_out({"a": {**GOOD["a"], "data_offsets": [4, 28]}}, bytes(28)),
    "gap between": laid_out({**GOOD, "b": {**GOOD["a"], "data_offsets": [28, 52]}}, bytes(52)),
    "a name twice": laid_out(b'{"a": %s, "a": %s}' % ((json.dumps(GOOD["a"]).encode(),) * 2), bytes(24)),
    "a field twice": laid_out(
        b'{"a": {"dtype": "F32", "dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}', bytes(4)
    ),
    "the same span twice": laid_out({**GOOD, "b": GOOD["a"]}, bytes(24)),
    "spans that overlap": laid_out({**GOOD, "b": {**GOOD["a"], "data_offsets": [20, 44]}}, bytes(44)),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_broken_files_are_refused(data):
    refusal(data)


def test_a_refusal_names_the_tensor_but_no_endless_name():
    header = {"weight" * 10_000: {**GOOD["a"], "dtype": "F64" * 10_000}}
    assert "weight" in refusal(laid_out(header, bytes(24))).found
    assert len(str(refusal(laid_out(header, bytes(24))))) < 500


def only_refused_or_read(data):
    try:
        found = parse(data)
    except ProvenanceError:
        refusal(data)
    else:
        assert all(array.dtype == np.float32 for array in found.values())


@given(st.binary(max_size=200))
def test_any_bytes(data):
    only_refused_or_read(data)
    only_refused_or_read(laid_out(data))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2**70)
    | st.floats()
    | st.sampled_from(["F32", "F16", "BF16", "F64", "", "12"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=6,
)
SIZES = st.lists(st.sampled_from([0, 1, 2, 3, 4, 8, 12, 24, True, 2.0, -1, 2**63]), max_size=3)
ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["F32", "F16", "BF16"]) | JSON,
        "shape": SIZES | JSON,
        "data_offsets": SIZES | JSON,
    },
)


@given(st.dictionaries(st.text(max_size=3), ENTRY | JSON, max_size=3), st.binary(max_size=24))
def test_any_json_header(header, payload):
    only_refused_or_read(laid_out(header, payload))


@given(st.integers(0, 100), st.integers(0, 255))
def test_any_byte_of_a_good_file_changed(place, byte):
    data = bytearray(laid_out(GOOD, bytes(24)))
    data[place % len(data)] = byte
    only_refused_or_read(bytes(data))
