"""The one list of reason codes: why an object, entry, field or batch was set aside, and what to do about it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """What a code means, and the next step for the person who reads it."""

    level: str  # object, entry, batch, run, document, tenant
    meaning: str
    next_step: str


REASONS: dict[str, Reason] = {
    # objects
    "unknown_tenant": Reason("object", "No such tenant.", "Add the tenant: `spv tenant add`; or remove the object."),
    "unknown_feed": Reason("object", "The tenant has no such feed.", "Add the feed: `spv tenant add NAME --feed`."),
    "empty_object": Reason("object", "The object has no bytes.", "Ask the sender to send it again."),
    "object_gone": Reason(
        "object", "The object version was deleted before it was read.", "Ask the sender to send it again."
    ),
    "not_sealed": Reason("object", "The object is in no sealed format that the feed accepts.", "Seal it and resend."),
    "wrong_key": Reason(
        "object", "The object was not sealed with this tenant's key, or for this place.", "Seal and send it again."
    ),
    "truncated": Reason("object", "The object ends too early.", "Ask the sender to send it again."),
    "tampered": Reason("object", "The object's bytes were changed after sealing.", "Ask the sender to send it again."),
    "bad_compression": Reason("object", "The content does not decompress.", "Ask the sender to send it again."),
    "too_large": Reason("object", "The content is over the feed's size limit.", "Split it, or raise the limit."),
    "ratio_exceeded": Reason("object", "The content expands more than allowed.", "Check the sender."),
    "empty_payload": Reason("object", "The opened content is empty.", "Ask the sender to send it again."),
    "not_json": Reason("object", "The opened content is not JSON.", "Check the feed's format."),
    "not_a_bundle": Reason("object", "The content is neither a FHIR Bundle nor NDJSON.", "Check the feed's format."),
    "unsupported_bundle_type": Reason("object", "Bundles of this type are not taken.", "Check the sender."),
    "content_type_refused": Reason(
        "object", "The feed's contract lists no content of this type.", "Correct the contract or the sender."
    ),
    "keys_destroyed": Reason(
        "object", "The tenant's keys were destroyed: nothing of it can be read again.", "Nothing: that was the purpose."
    ),
    "too_many_entries": Reason("object", "More entries than the feed's limit.", "Split it, or raise the limit."),
    # entries
    "entry_not_json": Reason("entry", "The line is not JSON.", "Correct it at the source and resend."),
    "entry_not_object": Reason("entry", "The entry is not a JSON object.", "Correct it at the source and resend."),
    "no_resource": Reason("entry", "The entry has no resource.", "Correct it at the source and resend."),
    "no_resource_type": Reason("entry", "The entry has no resourceType.", "Correct it at the source and resend."),
    "unknown_resource_type": Reason("entry", "FHIR R4 has no such type.", "Correct it at the source and resend."),
    "invalid_resource": Reason("entry", "The resource breaks FHIR R4 at this place.", "Correct it and resend."),
    "missing_element": Reason("entry", "FHIR R4 requires this element.", "Correct it and resend."),
    "unknown_element": Reason(
        "entry",
        "FHIR R4 has no such element here; a name that FHIR does not know is not told.",
        "Correct it and resend.",
    ),
    "wrong_json_type": Reason(
        "entry", "The value is not of the JSON type that the element has.", "Correct it and resend."
    ),
    "several_choices": Reason("entry", "Two types are chosen for one element.", "Correct it and resend."),
    "not_in_value_set": Reason("entry", "The code is none of the element's value set.", "Correct it and resend."),
    "wrong_reference_target": Reason(
        "entry", "The reference points to a type that the element does not take.", "Correct it and resend."
    ),
    "null_value": Reason("entry", "A value is null where FHIR has none.", "Leave the element out and resend."),
    "empty_element": Reason("entry", "An object, list or text is empty.", "Leave the element out and resend."),
    "repeated_key": Reason("entry", "A name comes twice in one object.", "Correct it and resend."),
    "nul_character": Reason("entry", "A text has the character U+0000.", "Correct it and resend."),
    "value_and_extensions": Reason("entry", "An extension has a value and extensions.", "Correct it and resend."),
    "nested_contained": Reason("entry", "A contained resource contains another.", "Correct it and resend."),
    "id_too_long": Reason("entry", "An id has more than 64 characters.", "Correct it and resend."),
    "nested_bundle": Reason(
        "entry", "The entry is a Bundle itself, so its entries would be one.", "Send each Bundle as an object."
    ),
    "invalid_id": Reason("entry", "The resource's id is not a FHIR id.", "Correct it at the source and resend."),
    "request_mismatch": Reason(
        "entry", "The PUT names another resource than the one that it brings.", "Correct it at the source and resend."
    ),
    "invalid_condition": Reason(
        "entry",
        "The search of a conditional create or update says no value, so it would find anybody.",
        "Correct it at the source and resend.",
    ),
    "modified_entry": Reason(
        "entry", "The entry has a modifierExtension, which may change what it means.", "Ask the sender what it says."
    ),
    "invalid_delete": Reason("entry", "The delete names no Type/id.", "Correct it at the source and resend."),
    "too_deep": Reason("entry", "The resource is nested deeper than allowed.", "Check the sender."),
    # batches
    "gate_failed": Reason(
        "batch", "A quality gate refused the batch.", "See why: `spv batch show`; then release or reject it."
    ),
    "gate_unevaluable": Reason(
        "batch", "A quality gate could not be evaluated.", "See where: `spv batch show`; mend it, then release it."
    ),
    "does_not_balance": Reason(
        "batch",
        "The rows to be published are not those that the ledger counted.",
        "Report it with the numbers of `spv batch show`; then release it.",
    ),
    "attempts_exhausted": Reason("batch", "The batch failed at every attempt.", "Look at the runs' errors."),
    "tenant_removed": Reason("batch", "The tenant was removed.", "Nothing to do, or add the tenant again."),
    "internal_error": Reason("batch", "A defect of the platform.", "Report it with the run's id."),
    # runs
    "run_died": Reason(
        "run",
        "The run ended without a word: its process died or was stopped, or it never began.",
        "What it did is done by the next run; if it comes again, look at the host's memory and at the logs.",
    ),
    "not_possible": Reason(
        "run", "What the run was asked for cannot be done.", "Read the run's error, and ask for something else."
    ),
    # documents of the history
    "document_too_large": Reason(
        "document", "The document is over MongoDB's limit.", "Look at the person in the tables; raise no limit."
    ),
    "document_invalid": Reason(
        "document", "MongoDB's validator refused the document.", "Report it; then `spv history rebuild`."
    ),
    "document_refused": Reason(
        "document", "MongoDB refused the document.", "Look at its log; then `spv history rebuild`."
    ),
    "history_key_unusable": Reason(
        "tenant",
        "The tenant's key does not open the key vault in MongoDB.",
        "Restore the key file or the vault that belongs to it.",
    ),
    # both
    "lease_lost": Reason("batch", "Another worker took the batch over.", "Nothing to do."),
    "store_unavailable": Reason("batch", "An outside system did not answer.", "It is tried again by itself."),
}

#: The codes for which one object is set aside.
OF_OBJECTS = tuple(code for code, reason in REASONS.items() if reason.level == "object")

_HEAD = """# Reason codes

Made by `spv docs reason-codes` from the one list in the code; `make docs` writes it anew.
"""
_LEVELS = {
    "object": "The object as a whole is set aside; `spv quarantine list`.",
    "entry": "One entry of an object is set aside, its neighbours are not; `spv quarantine list`. With a JSON pointer"
    " it is about one field of the entry (`--level field`), and the entry waits with it.",
    "batch": "The batch is set aside, or given back to be tried again; `spv batch list`.",
    "run": "A run failed; alerts say so, beside the codes of batches.",
    "document": "MongoDB did not take a document of the history; `spv history status --refused`.",
    "tenant": "The history of a tenant is not fed; `spv history status`.",
}


def page() -> str:
    """The documentation of all codes, as Markdown."""
    parts = [_HEAD]
    for level, sentence in _LEVELS.items():
        parts.append(f"## Level {level}\n{sentence}\n\n| code | meaning | what to do |\n|---|---|---|")
        parts += [
            f"| `{code}` | {reason.meaning} | {reason.next_step} |"
            for code, reason in REASONS.items()
            if reason.level == level
        ]
        parts.append("")
    return "\n".join(parts)
