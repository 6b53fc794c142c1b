"""Custom objects and what a schema makes of them, for the contract tests of schemas."""

from __future__ import annotations

from typing import Any

_STRING, _INTEGER = {"type": "string"}, {"type": "integer"}
_FORMATS = (
    *(
        "date",
        "date-time",
        "duration",
        "email",
        "hostname",
        "ipv4",
        "ipv6",
        "cidr",
        "mac",
        "uuid",
        "uuid3",
        "uuid4",
        "uuid5",
    ),
    *(
        "uri",
        "byte",
        "password",
        "k8s-short-name",
        "k8s-long-name",
    ),
)
_ITEM = {"type": "object", "required": ["k"], "properties": {"k": _STRING, "p": {"type": "integer", "default": 1}}}
_PRESERVES = "x-kubernetes-preserve-unknown-fields"


def _list_map(*keys: str) -> dict[str, Any]:
    return {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys), "items": _ITEM}


SPEC: dict[str, Any] = {
    "s": {"type": "string", "minLength": 2, "maxLength": 4},
    "pat": {"type": "string", "pattern": "^a+$"},
    "en": {"type": "string", "enum": ["a", "b"]},
    "ien": {"type": "integer", "enum": [1, 2]},
    "i": {"type": "integer", "minimum": 1, "maximum": 10},
    "ix": {"type": "integer", "minimum": 1, "exclusiveMinimum": True, "maximum": 10, "exclusiveMaximum": True},
    "mult": {"type": "integer", "multipleOf": 3},
    "n": {"type": "number", "minimum": 0.5},
    "b": {"type": "boolean"},
    "i32": {"type": "integer", "format": "int32"},
    "arr": {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1, "maxItems": 2},
    "objs": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["x"],
            "properties": {"x": _INTEGER, "y": {"type": "string", "default": "yy"}},
        },
    },
    "map": {
        "type": "object",
        "additionalProperties": {"type": "integer", "minimum": 1},
        "minProperties": 1,
        "maxProperties": 2,
    },
    "o": {
        "type": "object",
        "required": ["r"],
        "properties": {
            "r": _STRING,
            "d": {"type": "integer", "default": 7},
            "deep": {"type": "object", "default": {}, "properties": {"z": {"type": "string", "default": "zz"}}},
        },
    },
    "mo": {
        "type": "object",
        "additionalProperties": {"type": "object", "properties": {"d": {"type": "integer", "default": 1}}},
    },
    "nul": {"type": "string", "nullable": True},
    "nuld": {"type": "string", "nullable": True, "default": "x"},
    "notnuld": {"type": "string", "default": "dd"},
    "notnul": _STRING,
    "ios": {"x-kubernetes-int-or-string": True},
    "pres": {"type": "object", _PRESERVES: True, "properties": {"k": {"type": "object", "properties": {"l": _STRING}}}},
    "any": {_PRESERVES: True},
    "emb": {"type": "object", "x-kubernetes-embedded-resource": True, _PRESERVES: True},
    "set": {"type": "array", "items": _STRING, "x-kubernetes-list-type": "set"},
    "iset": {"type": "array", "items": _INTEGER, "x-kubernetes-list-type": "set"},
    "lm": _list_map("k"),
    "lm2": _list_map("k", "p"),
    "any1": {
        "type": "object",
        "properties": {"a": _STRING, "b": _STRING},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
    },
    "anyof": {"type": "string", "anyOf": [{"minLength": 5}, {"pattern": "^x"}]},
    "allof": {"type": "string", "allOf": [{"minLength": 2}, {"pattern": "^x"}]},
    "not": {"type": "string", "not": {"enum": ["bad"]}},
    **{f"f_{name}": {"type": "string", "format": name} for name in _FORMATS},
}

# Each spec with the reasons and fields of the causes for which it is refused.
REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({"s": "a"}, ["Invalid spec.s"]),
    ({"s": "abcde"}, ["TooLong spec.s"]),
    ({"s": 1}, ["TypeInvalid spec.s"]),
    ({"s": True}, ["TypeInvalid spec.s"]),
    ({"s": 1.5}, ["TypeInvalid spec.s"]),
    ({"s": [1]}, ["TypeInvalid spec.s"]),
    ({"s": {"a": 1}}, ["TypeInvalid spec.s"]),
    ({"pat": "b"}, ["Invalid spec.pat"]),
    ({"pat": "aa\n"}, ["Invalid spec.pat"]),
    ({"en": "c"}, ["NotSupported spec.en"]),
    ({"ien": 3}, ["NotSupported spec.ien"]),
    ({"i": 0}, ["Invalid spec.i"]),
    ({"i": 11}, ["Invalid spec.i"]),
    ({"i": "1"}, ["TypeInvalid spec.i"]),
    ({"i": True}, ["TypeInvalid spec.i"]),
    ({"ix": 1}, ["Invalid spec.ix"]),
    ({"ix": 10}, ["Invalid spec.ix"]),
    ({"mult": 4}, ["Invalid spec.mult"]),
    ({"n": 0.1}, ["Invalid spec.n"]),
    ({"n": "x"}, ["TypeInvalid spec.n"]),
    ({"b": "true"}, ["TypeInvalid spec.b"]),
    ({"b": 1}, ["TypeInvalid spec.b"]),
    ({"i32": 3000000000}, ["Invalid <nil>"]),
    ({"arr": []}, ["Invalid spec.arr"]),
    ({"arr": ["a", "b", "c"]}, ["TooMany spec.arr"]),
    ({"arr": [""]}, ["Invalid spec.arr[0]"]),
    ({"arr": [1]}, ["TypeInvalid spec.arr[0]"]),
    ({"arr": "x"}, ["TypeInvalid spec.arr"]),
    ({"arr": {}}, ["TypeInvalid spec.arr"]),
    ({"arr": ["a", None]}, ["TypeInvalid spec.arr[1]"]),
    ({"objs": [{}]}, ["Required spec.objs[0].x"]),
    ({"objs": [{"x": "1"}]}, ["TypeInvalid spec.objs[0].x"]),
    ({"objs": [1]}, ["TypeInvalid spec.objs[0]"]),
    ({"map": {}}, ["Invalid spec.map"]),
    ({"map": {"a": 1, "b": 1, "c": 1}}, ["TooMany spec.map"]),
    ({"map": {"a": 0}}, ["Invalid spec.map.a"]),
    ({"map": {"a": "x"}}, ["TypeInvalid spec.map.a"]),
    ({"map": {"a.b/c": 0}}, ["Invalid spec.map.a.b/c"]),
    ({"map": []}, ["TypeInvalid spec.map"]),
    ({"o": {}}, ["Required spec.o.r"]),
    ({"o": {"r": None}}, ["Required spec.o.r"]),
    ({"ios": 1.5}, ["TypeInvalid spec.ios"]),
    ({"ios": True}, ["TypeInvalid spec.ios"]),
    ({"ios": []}, ["TypeInvalid spec.ios"]),
    ({"emb": {}}, ["Required spec.emb.apiVersion", "Required spec.emb.kind"]),
    ({"emb": {"kind": "Pod"}}, ["Required spec.emb.apiVersion"]),
    ({"set": ["a", "b", "a"]}, ["Duplicate spec.set[2]"]),
    ({"iset": [1, 1, 1]}, ["Duplicate spec.iset[1]"]),
    ({"lm2": [{"k": "a"}, {"k": "a", "p": 2}, {"k": "a", "p": 1}]}, ["Duplicate spec.lm2[2]"]),
    ({"lm": [{}]}, ["Required spec.lm[0].k"]),
    ({"any1": {}}, ["Invalid <nil>", "Required spec.any1.a"]),
    ({"any1": {"a": "x", "b": "y"}}, ["Invalid <nil>"]),
    ({"anyof": "ab"}, ["Invalid <nil>", "Invalid spec.anyof"]),
    ({"allof": "y"}, ["Invalid spec.allof", "Invalid spec.allof", "Invalid <nil>"]),
    ({"not": "bad"}, ["Invalid <nil>"]),
    ({"s": "a", "i": 0}, ["Invalid spec.s", "Invalid spec.i"]),
    (
        {"any": None, "ios": None, "emb": None, "map": {"a": None}, "objs": [None]},
        ["TypeInvalid spec.objs[0]", "Invalid spec.map"],
    ),
    ({"set": ["a", "a", "a"]}, ["Duplicate spec.set[1]"]),
    ({"nul": 5}, ["TypeInvalid spec.nul"]),
    ({"lm": [{"k": "a"}, {"k": "b"}, {"k": "a", "p": 2}]}, ["Duplicate spec.lm[2]"]),
]

# Each spec with what is stored of it. The two fields with a default of their own are left out where nothing is said of them.
ACCEPTED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"s": None}, {}),
    ({"ien": 1.0}, {"ien": 1}),
    ({"i": 2.0}, {"i": 2}),
    ({"objs": [{"x": 1}]}, {"objs": [{"x": 1, "y": "yy"}]}),
    ({"o": {"r": "x"}}, {"o": {"d": 7, "deep": {"z": "zz"}, "r": "x"}}),
    ({"o": {"r": "x", "deep": {"q": 1}}}, {"o": {"d": 7, "deep": {"z": "zz"}, "r": "x"}}),
    ({"mo": {"k": {}, "l": {"d": 3, "u": 1}}}, {"mo": {"k": {"d": 1}, "l": {"d": 3}}}),
    ({"nul": None, "nuld": None, "notnuld": None}, {"notnuld": "dd", "nul": None, "nuld": None}),
    ({"notnul": None}, {}),
    ({"ios": 1}, {"ios": 1}),
    ({"ios": "a"}, {"ios": "a"}),
    ({"pres": {"u": {"v": 1}, "k": {"l": "a", "m": 1}}}, {"pres": {"k": {"l": "a"}, "u": {"v": 1}}}),
    ({"any": 1}, {"any": 1}),
    ({"any": {"a": None}}, {"any": {"a": None}}),
    (
        {
            "emb": {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "ok", "foo": 1, "creationTimestamp": None},
                "spec": {"x": 1},
            }
        },
        {"emb": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ok"}, "spec": {"x": 1}}},
    ),
    ({"any1": {"a": "x"}}, {"any1": {"a": "x"}}),
    (
        {"unk": 1, "o": {"r": "x", "w": 2}, "objs": [{"x": 1, "w": 3}]},
        {"o": {"d": 7, "deep": {"z": "zz"}, "r": "x"}, "objs": [{"x": 1, "y": "yy"}]},
    ),
    (
        {"emb": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "X_"}}},
        {"emb": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "X_"}}},
    ),
    ({"n": 1.0, "any": {"a": 1}}, {"any": {"a": 1}, "n": 1}),
    ({"objs": None, "o": None}, {}),
]

# Strings of each format, and strings that are not of it.
VALID = {
    "date": ["2020-01-01"],
    "date-time": ["2020-01-01T00:00:00Z", "2020-01-01T00:00:00.5+01:00"],
    "duration": ["1s", "1h30m", "P1D", "1 hour", "-1s", "100ms", "3 days"],
    "email": ["a@b.c", "A <a@b.c>"],
    "ipv4": ["1.2.3.4"],
    "ipv6": ["::1"],
    "cidr": ["1.2.3.0/24"],
    "mac": ["00:11:22:33:44:55"],
    "uuid": ["123e4567-e89b-12d3-a456-426614174000", "123e4567e89b12d3a456426614174000"],
    "uuid4": ["123e4567-e89b-42d3-a456-426614174000"],
    "uri": ["http://a/b", "/a"],
    "byte": ["YQ=="],
    "password": ["x"],
    "k8s-short-name": ["a-b"],
    "k8s-long-name": ["a.b"],
}
INVALID = {
    "date": ["2020-13-01", "x"],
    "date-time": ["2020-01-01", "2020-01-01T25:00:00Z"],
    "duration": ["5"],
    "email": ["a"],
    "hostname": ["a.b", "-a", "a_b", "a b"],
    "ipv4": ["1.2.3", "::1"],
    "ipv6": ["1.2.3.4"],
    "cidr": ["1.2.3.4"],
    "mac": ["x"],
    "uuid": ["x"],
    "uuid4": ["123e4567-e89b-12d3-a456-426614174000"],
    "uuid3": ["123e4567-e89b-12d3-a456-426614174000"],
    "uri": ["a", "a b"],
    "byte": ["YQ", "%%"],
    "k8s-short-name": ["A", "a.b"],
    "k8s-long-name": ["A"],
}
