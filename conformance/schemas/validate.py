"""Validates what palladium has written: validate.py SCHEMA FILE..., or validate.py --shacl MODEL CONTEXT FILE...

The first form goes by a JSON Schema, with its formats; the second by the SHACL shapes of SPDX 3's own model. Prints each
violation; exits 1 when there is one."""
import json
import os
import sys


def by_schema(path, files):
    import jsonschema
    import referencing

    def neighbour(uri):  # schemas that stand beside this one, as those of CycloneDX do
        beside = os.path.join(os.path.dirname(path), uri.rsplit("/", 1)[-1])
        if not os.path.exists(beside):
            return referencing.Resource.from_contents({"$schema": "http://json-schema.org/draft-07/schema#"})
        with open(beside, encoding="utf-8") as f:
            return referencing.Resource.from_contents(json.load(f), referencing.jsonschema.DRAFT7)

    with open(path, encoding="utf-8") as f:
        schema = json.load(f)
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    missing = {"uri-reference", "date-time"} - set(kind.FORMAT_CHECKER.checkers)
    if missing:
        sys.exit(f"formats are not checked: {missing}")
    validator = kind(schema, registry=referencing.Registry(retrieve=neighbour), format_checker=kind.FORMAT_CHECKER)
    for name in files:
        with open(name, encoding="utf-8") as f:
            for e in validator.iter_errors(json.load(f)):
                yield f"{name}: {e.json_path}: {e.message[:300]}"


def by_shapes(model, context, files):
    import pyshacl
    import rdflib

    shapes = rdflib.Graph().parse(model, format="json-ld")
    with open(context, encoding="utf-8") as f:
        terms = json.load(f)["@context"]
    for name in files:
        with open(name, encoding="utf-8") as f:
            document = json.load(f)
        document["@context"] = terms
        data = rdflib.Graph().parse(data=json.dumps(document), format="json-ld")
        conforms, _, text = pyshacl.validate(data, shacl_graph=shapes, ont_graph=shapes)
        if not conforms:
            yield f"{name}: {text}"


def main(args):
    found = by_shapes(args[1], args[2], args[3:]) if args[0] == "--shacl" else by_schema(args[0], args[1:])
    count = 0
    for count, violation in enumerate(found, 1):
        print(violation)
    return 1 if count else 0


sys.exit(main(sys.argv[1:]))
