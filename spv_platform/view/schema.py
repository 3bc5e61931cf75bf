"""The schema of facts: what the platform knows about one patient record, one row a fact.

What belongs here: the columns and kinds that `view` writes and that `trials` reads. A fact belongs to exactly one
resource version; a version that says nothing of interest still has one row of kind ``none``, so that it can displace
an older version that did.
"""

import polars as pl

#: Kinds of facts.
KINDS = (
    # of the Patient resource
    "identifier",  # codes: [type], value_text: "system|value"
    "name",  # value_text: "FAMILY, Given Given"
    "gender",  # value_text: male, female, other, unknown
    "birth_sex",  # value_text: M, F, …
    "birth_date",  # time
    "deceased",  # polarity: present (dead) or absent (alive), time when stated
    "address",  # value_text: one line
    "place",  # where an address is; value_text: "geo:LATITUDE,LONGITUDE", value_codes: country, state, postal code
    "telecom",  # value_text: "system:value"
    "care_organization",  # value_text: "Organization/id" that keeps the record or is named as the practice
    # clinical
    "condition",  # any problem that is not a cancer
    "cancer",  # primary cancer condition
    "metastasis",  # secondary cancer condition
    "stage",  # stage group; value_display, value_codes; codes say clinical or pathological
    "tnm",  # T, N or M category
    "ecog",  # value_number 0-5
    "karnofsky",  # value_number 0-100
    "tumor_marker",  # codes: the test; polarity and/or value
    "variant",  # genes, alteration, hgvs_*; polarity present or absent
    "region_studied",  # genes that were tested
    "tmb",  # value_number, unit
    "msi",  # polarity present (MSI-H, unstable), absent (stable), indeterminate (MSI-L)
    "mmr",  # polarity present (deficient), absent (proficient); by immune stain
    "signature",  # codes: the mutational signature; polarity
    "specimen",  # codes: its type; value_codes: its identifiers, "system|value"; time: when it was taken
    "lab",  # every other observation: latest per code
    "medication",  # status says request, statement, administration, dispense and its state
    "allergy",
    "procedure",
    "immunization",
    "encounter",  # value_text: key of the service provider
    "opt_out",  # a Consent that denies research use; polarity present
    "none",
)

_VERSION: dict[str, pl.DataType] = {
    "source": pl.String(),
    "resource_type": pl.String(),
    "resource_id": pl.String(),
    "deleted": pl.Boolean(),
    "versioned": pl.Boolean(),
    "version_time": pl.Datetime("us"),
    "digest": pl.String(),
    "source_object": pl.String(),
    "source_entry": pl.Int64(),
    "_landing_seq": pl.Int64(),
    "_candidates": pl.Int64(),
}

SCHEMA: dict[str, pl.DataType] = {
    "patient_id": pl.String(),  # the record, with source
    **_VERSION,
    "kind": pl.String(),
    "codes": pl.List(pl.String),  # "system|code" of every coding of the concept, as sent
    "display": pl.String(),  # first display, else text
    "value_number": pl.Float64(),
    "value_text": pl.String(),  # the number as sent, or a text value
    "comparator": pl.String(),  # <, <=, >=, >
    "unit": pl.String(),  # UCUM code, else the unit as sent
    "value_codes": pl.List(pl.String),
    "value_display": pl.String(),
    "polarity": pl.String(),  # present, absent, indeterminate; null: the fact has none
    "genes": pl.List(
        pl.String
    ),  # HGNC symbols, sorted; of a fusion its partners, `intergenic` where one end is no gene
    "gene_ids": pl.List(pl.String),  # "HGNC:1097"
    "alteration": pl.String(),  # mutation, fusion, copy_number_gain, copy_number_loss; null: not stated
    "hgvs_protein": pl.List(pl.String),  # as sent, every protein change found
    "hgvs_coding": pl.List(pl.String),
    "hgvs_genomic": pl.List(pl.String),
    "origin": pl.String(),  # somatic, germline
    "vaf": pl.Float64(),  # variant allele frequency, 0-1
    "copy_number": pl.Float64(),
    "consequence": pl.String(),  # Sequence Ontology name
    "exon": pl.Int64(),  # of the transcript reported
    "call": pl.String(),  # amplification, gain, heterozygous_loss, homozygous_loss
    "zygosity": pl.String(),  # heterozygous, homozygous, hemizygous
    "function": pl.String(),  # activating, inactivating, as the laboratory says
    "method": pl.String(),  # how it was found: first display of the method
    "specimen": pl.String(),  # key of the specimen, "Specimen/id", else its identifier "system|value"
    "specimen_display": pl.String(),  # what it is, in words of the result
    "laboratory": pl.String(),  # who made it, no person: the name as sent, else the key "Organization/id"
    "cancers": pl.List(pl.String),  # keys of the conditions that it belongs to, "Condition/id"
    "body_site": pl.String(),
    "status": pl.String(),
    "usable": pl.Boolean(),  # counts as evidence: not entered-in-error, refuted, preliminary, planned, …
    "time": pl.String(),  # when it was true, as sent
    "time_start": pl.Datetime("us"),
    "time_end": pl.Datetime("us"),
    "known": pl.String(),  # when it was issued or recorded, as sent
    # null for the current version; of a version that lost but may win yet: the kind it would have, `kind` being none
    "held_kind": pl.String(),
}

#: The columns that identify the resource version a fact belongs to.
VERSION_COLUMNS: tuple[str, ...] = ("patient_id", *_VERSION)
