-- Schema `ops`. Idempotent: `ledger.db.apply_schema` runs it at every start, under an advisory lock.
-- No column holds readable personal data: record, blocks, target and identifier are HMACs, state is sealed bytes.

CREATE SCHEMA IF NOT EXISTS ops;

CREATE TABLE IF NOT EXISTS ops.tenant (
    tenant text PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    removed_at timestamptz
);

CREATE TABLE IF NOT EXISTS ops.feed (
    tenant text NOT NULL REFERENCES ops.tenant,
    feed text NOT NULL,
    format text NOT NULL,
    PRIMARY KEY (tenant, feed)
);

-- A piece of work of one tenant, carried by one run at a time.
CREATE TABLE IF NOT EXISTS ops.batch (
    batch_id text PRIMARY KEY,
    tenant text NOT NULL REFERENCES ops.tenant,
    kind text NOT NULL CHECK (kind IN ('load', 'rematch', 'compact')),
    state text NOT NULL DEFAULT 'formed' CHECK (state IN ('formed', 'claimed', 'staged', 'published', 'set_aside')),
    attempt int NOT NULL DEFAULT 1,
    gated_attempt int, -- the attempt whose staged rows have passed the quality gate
    budget_from int NOT NULL DEFAULT 1, -- the attempt that max_attempts counts from; moved by a release by hand
    open_from int NOT NULL DEFAULT 1, -- the least attempt whose run may still claim the batch
    criteria_version int, -- what a re-match was asked for
    run_id text,
    lease_until timestamptz,
    not_before timestamptz,
    requested_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    reason text,
    objects int NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0,
    CHECK ((state IN ('claimed', 'staged')) = (lease_until IS NOT NULL)),
    CHECK (state NOT IN ('claimed', 'staged', 'published') OR run_id IS NOT NULL),
    CHECK ((state = 'set_aside') = (reason IS NOT NULL))
);
CREATE INDEX IF NOT EXISTS batch_open ON ops.batch (tenant, created_at) WHERE state IN ('formed', 'claimed', 'staged');
CREATE INDEX IF NOT EXISTS batch_run ON ops.batch (run_id);

-- Every object version that was found in the landing bucket; seq is the landing sequence.
CREATE TABLE IF NOT EXISTS ops.object (
    seq bigserial PRIMARY KEY,
    bucket text NOT NULL,
    key text NOT NULL,
    version text NOT NULL,
    tenant text NOT NULL, -- from the key; no foreign key, since a key may name a tenant that is not ours
    feed text NOT NULL,
    size_bytes bigint NOT NULL,
    etag text NOT NULL,
    landed_at timestamptz NOT NULL,
    found_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    state text NOT NULL CHECK (state IN ('landed', 'claimed', 'staged', 'published', 'set_aside', 'quarantined')),
    reason text,
    attempt int NOT NULL DEFAULT 0,
    batch_id text REFERENCES ops.batch,
    plain_digest text,
    plain_bytes bigint,
    entries bigint,
    accepted bigint,
    tombstones bigint,
    duplicates bigint,
    superseded bigint,
    quarantined bigint,
    same_as bigint REFERENCES ops.object, -- the published object with equal content
    UNIQUE (bucket, key, version),
    CHECK (state IN ('landed', 'quarantined') OR batch_id IS NOT NULL),
    CHECK ((state IN ('set_aside', 'quarantined')) = (reason IS NOT NULL))
);
CREATE INDEX IF NOT EXISTS object_waiting ON ops.object (tenant, seq) WHERE state = 'landed' AND batch_id IS NULL;
CREATE INDEX IF NOT EXISTS object_batch ON ops.object (batch_id);
CREATE INDEX IF NOT EXISTS object_digest ON ops.object (tenant, feed, plain_digest, seq);

-- Who may publish for a tenant. The token grows at every take-over and fences the ones before.
CREATE TABLE IF NOT EXISTS ops.publish_lease (
    tenant text PRIMARY KEY REFERENCES ops.tenant,
    holder text,
    token bigint NOT NULL DEFAULT 0,
    until timestamptz NOT NULL DEFAULT '-infinity'
);

-- Files written by an attempt; part of a table once seq is set.
CREATE TABLE IF NOT EXISTS ops.staged_file (
    tenant text NOT NULL,
    batch_id text NOT NULL REFERENCES ops.batch,
    attempt int NOT NULL,
    table_name text NOT NULL,
    path text NOT NULL, -- relative to the table's root
    rows bigint NOT NULL,
    bytes bigint NOT NULL,
    seq bigint, -- the publication; null until published
    PRIMARY KEY (batch_id, attempt, table_name, path)
);
CREATE INDEX IF NOT EXISTS staged_file_tail ON ops.staged_file (tenant, table_name, seq) WHERE seq IS NOT NULL;

CREATE TABLE IF NOT EXISTS ops.criteria_version (
    version serial PRIMARY KEY,
    digest text NOT NULL, -- not unique: going back to earlier criteria is a new version
    documents jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE IF NOT EXISTS ops.publication (
    tenant text NOT NULL REFERENCES ops.tenant,
    seq bigint NOT NULL,
    batch_id text NOT NULL UNIQUE REFERENCES ops.batch,
    kind text NOT NULL,
    tables jsonb NOT NULL, -- what every reader reads: versions by table
    criteria_version int REFERENCES ops.criteria_version,
    counts jsonb NOT NULL,
    published_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, seq)
);

CREATE TABLE IF NOT EXISTS ops.record_state (
    tenant text NOT NULL,
    record bytea NOT NULL,
    person_id text,
    has_patient boolean NOT NULL,
    blocks bytea[] NOT NULL,
    state bytea NOT NULL,
    seq bigint NOT NULL, -- the publication that wrote it
    PRIMARY KEY (tenant, record)
);
CREATE INDEX IF NOT EXISTS record_person ON ops.record_state (tenant, person_id);
CREATE INDEX IF NOT EXISTS record_blocks ON ops.record_state USING gin (blocks) WITH (fastupdate = off);

CREATE TABLE IF NOT EXISTS ops.candidate_record (
    tenant text NOT NULL,
    batch_id text NOT NULL REFERENCES ops.batch,
    attempt int NOT NULL,
    record bytea NOT NULL,
    person_id text,
    has_patient boolean NOT NULL,
    blocks bytea[] NOT NULL,
    state bytea NOT NULL,
    PRIMARY KEY (batch_id, attempt, record)
);

CREATE TABLE IF NOT EXISTS ops.entry_quarantine (
    id bigserial PRIMARY KEY,
    tenant text NOT NULL,
    object_seq bigint NOT NULL REFERENCES ops.object,
    entry int NOT NULL,
    pointer text NOT NULL,
    reason text NOT NULL,
    contract text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'replayed')),
    UNIQUE (object_seq, entry, pointer, reason)
);
CREATE INDEX IF NOT EXISTS entry_quarantine_tenant ON ops.entry_quarantine (tenant, id);

-- References whose target is not known yet.
CREATE TABLE IF NOT EXISTS ops.reference_queue (
    tenant text NOT NULL,
    source text NOT NULL,
    object_seq bigint NOT NULL REFERENCES ops.object,
    target_type text NOT NULL,
    target bytea NOT NULL,
    how text NOT NULL,
    waiting int NOT NULL,
    PRIMARY KEY (tenant, source, object_seq, target_type, target, how)
);
CREATE INDEX IF NOT EXISTS reference_target ON ops.reference_queue (tenant, target);

CREATE TABLE IF NOT EXISTS ops.approval (
    tenant text NOT NULL,
    person_id text NOT NULL,
    trial text NOT NULL,
    cohort text NOT NULL,
    status text NOT NULL CHECK (status IN ('approved', 'withdrawn')),
    since_seq bigint NOT NULL, -- the publication that gave it this status
    event_id uuid NOT NULL,
    evidence jsonb NOT NULL,
    PRIMARY KEY (tenant, person_id, trial, cohort)
);

CREATE TABLE IF NOT EXISTS ops.outbox (
    event_id uuid PRIMARY KEY,
    tenant text NOT NULL,
    kind text NOT NULL,
    payload jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    delivered_at timestamptz
);

CREATE TABLE IF NOT EXISTS ops.opt_out (
    tenant text NOT NULL,
    identifier bytea NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, identifier)
);

CREATE TABLE IF NOT EXISTS ops.audit (
    id bigserial PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    who text NOT NULL,
    action text NOT NULL,
    tenant text,
    what text NOT NULL
);

-- Runs that wait for a warm worker, or that one works on.
CREATE TABLE IF NOT EXISTS ops.run_queue (
    run_id text PRIMARY KEY,
    enqueued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    worker text,
    lease_until timestamptz,
    cancel boolean NOT NULL DEFAULT false,
    CHECK ((worker IS NULL) = (lease_until IS NULL))
);
CREATE INDEX IF NOT EXISTS run_waiting ON ops.run_queue (enqueued_at, run_id) WHERE worker IS NULL;

-- What was agreed with the sender beside the format; null: the defaults.
ALTER TABLE ops.feed ADD COLUMN IF NOT EXISTS contract jsonb;
-- The newest load batch of each tenant says who was served least recently.
CREATE INDEX IF NOT EXISTS batch_served ON ops.batch (tenant, created_at) WHERE kind = 'load';

-- How far the history in MongoDB has been fed, and who feeds it now; the token fences those who fed before.
CREATE TABLE IF NOT EXISTS ops.history_cursor (
    tenant text PRIMARY KEY REFERENCES ops.tenant,
    seq bigint NOT NULL DEFAULT 0, -- all publications up to this one are in the history
    token bigint NOT NULL DEFAULT 0,
    until timestamptz NOT NULL DEFAULT '-infinity',
    paused_until timestamptz NOT NULL DEFAULT '-infinity', -- batches leave a MongoDB alone that was away
    empty_first boolean NOT NULL DEFAULT false -- a rebuild has begun whose old documents are still there
);

-- Documents that MongoDB did not take; ids are made of pseudonyms.
CREATE TABLE IF NOT EXISTS ops.history_refused (
    tenant text NOT NULL REFERENCES ops.tenant,
    collection text NOT NULL,
    document_id text NOT NULL,
    reason text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, collection, document_id)
);

-- Why a gate refused a batch: codes, places and counts; and which gates let it pass all the same, by decision.
ALTER TABLE ops.object ADD COLUMN IF NOT EXISTS contained bigint; -- rows of resources inside of accepted ones
ALTER TABLE ops.batch ADD COLUMN IF NOT EXISTS details jsonb;
ALTER TABLE ops.batch ADD COLUMN IF NOT EXISTS waived text[] NOT NULL DEFAULT '{}';
CREATE INDEX IF NOT EXISTS batch_set_aside ON ops.batch (tenant) WHERE state = 'set_aside';
-- State `rejected`, which tables of before do not know.
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_constraint WHERE conrelid = 'ops.batch'::regclass AND conname = 'batch_state_known'
    ) THEN
        RETURN;
    END IF;
    ALTER TABLE ops.batch
        DROP CONSTRAINT IF EXISTS batch_state_check,
        DROP CONSTRAINT IF EXISTS batch_check2,
        ADD CONSTRAINT batch_state_known
            CHECK (state IN ('formed', 'claimed', 'staged', 'published', 'set_aside', 'rejected')),
        ADD CONSTRAINT batch_reason_given CHECK ((state IN ('set_aside', 'rejected')) = (reason IS NOT NULL));
    ALTER TABLE ops.object
        DROP CONSTRAINT IF EXISTS object_state_check,
        DROP CONSTRAINT IF EXISTS object_check1,
        ADD CONSTRAINT object_state_known
            CHECK (state IN ('landed', 'claimed', 'staged', 'published', 'set_aside', 'quarantined', 'rejected')),
        ADD CONSTRAINT object_reason_given
            CHECK ((state IN ('set_aside', 'quarantined', 'rejected')) = (reason IS NOT NULL));
END $$;

-- Who is told about approvals, and where. organizations: `Organization/id`, or `feed/Organization/id`; secret is sealed.
CREATE TABLE IF NOT EXISTS ops.practice (
    tenant text NOT NULL REFERENCES ops.tenant,
    practice text NOT NULL,
    url text NOT NULL,
    organizations text[] NOT NULL,
    secret bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    disabled_at timestamptz, -- the receiver answered 410
    paused_until timestamptz NOT NULL DEFAULT '-infinity', -- a receiver that failed is left alone for a while
    PRIMARY KEY (tenant, practice)
);

-- Null: the first load is not worked off, and notifications are collected for one digest per practice.
ALTER TABLE ops.tenant ADD COLUMN IF NOT EXISTS live_since timestamptz;

ALTER TABLE ops.outbox ADD COLUMN IF NOT EXISTS practice text; -- null: unrouted
ALTER TABLE ops.outbox ADD COLUMN IF NOT EXISTS treated_by bytea; -- sealed: organizations that treated the person
ALTER TABLE ops.outbox ADD COLUMN IF NOT EXISTS digest_id uuid; -- the digest that tells this news
ALTER TABLE ops.outbox ADD COLUMN IF NOT EXISTS attempts int NOT NULL DEFAULT 0;
ALTER TABLE ops.outbox ADD COLUMN IF NOT EXISTS next_attempt_at timestamptz NOT NULL DEFAULT '-infinity';
ALTER TABLE ops.outbox ADD COLUMN IF NOT EXISTS last_status text;
ALTER TABLE ops.outbox ADD COLUMN IF NOT EXISTS dead_at timestamptz;
CREATE INDEX IF NOT EXISTS outbox_waiting ON ops.outbox (tenant, next_attempt_at)
    WHERE delivered_at IS NULL AND dead_at IS NULL;
CREATE INDEX IF NOT EXISTS outbox_digest ON ops.outbox (digest_id);

-- What happened to each batch, and when: written by the database, so that no way around it exists.
CREATE TABLE IF NOT EXISTS ops.batch_step (
    batch_id text NOT NULL REFERENCES ops.batch,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    step text NOT NULL, -- `requested`, or the state that the batch came to
    attempt int NOT NULL,
    run_id text,
    reason text
);
CREATE INDEX IF NOT EXISTS batch_step_batch ON ops.batch_step (batch_id, at);
ALTER TABLE ops.batch_step ADD COLUMN IF NOT EXISTS lease_until timestamptz;
-- How much it was by then: objects and bytes, and from `staged` on what they came to, and the SHA-256 of their digests.
ALTER TABLE ops.batch_step ADD COLUMN IF NOT EXISTS counts jsonb;
CREATE OR REPLACE FUNCTION ops.note_step() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    counts jsonb := jsonb_build_object('objects', NEW.objects, 'sealed_bytes', NEW.bytes);
BEGIN
    IF NEW.kind = 'load' AND NEW.state IN ('staged', 'published') THEN
        counts := counts || (SELECT jsonb_strip_nulls(jsonb_build_object(
            'plain_bytes', sum(plain_bytes), 'entries', sum(entries), 'accepted', sum(accepted),
            'tombstones', sum(tombstones), 'duplicates', sum(duplicates), 'superseded', sum(superseded),
            'quarantined', sum(quarantined),
            'digest', encode(sha256(convert_to(
                string_agg(seq || ':' || coalesce(plain_digest, reason, ''), ',' ORDER BY seq), 'UTF8'
            )), 'hex')
        )) FROM ops.object WHERE batch_id = NEW.batch_id);
    END IF;
    IF NEW.state IN ('staged', 'published') THEN
        counts := counts || (SELECT jsonb_build_object(
            'files', count(*), 'file_rows', coalesce(sum(rows), 0), 'file_bytes', coalesce(sum(bytes), 0)
        ) FROM ops.staged_file WHERE batch_id = NEW.batch_id AND attempt = NEW.attempt);
    END IF;
    INSERT INTO ops.batch_step (batch_id, step, attempt, run_id, lease_until, reason, counts) VALUES (
        NEW.batch_id,
        CASE WHEN TG_OP = 'UPDATE' AND NEW.state = OLD.state AND NEW.attempt = OLD.attempt
            THEN 'requested' ELSE NEW.state END,
        NEW.attempt, NEW.run_id, NEW.lease_until, NEW.reason, counts
    );
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER batch_formed AFTER INSERT ON ops.batch
    FOR EACH ROW EXECUTE FUNCTION ops.note_step();
CREATE OR REPLACE TRIGGER batch_moved AFTER UPDATE OF state, attempt, requested_at ON ops.batch
    FOR EACH ROW WHEN (
        NEW.state <> OLD.state OR NEW.attempt <> OLD.attempt
        OR NEW.requested_at > coalesce(OLD.requested_at, '-infinity')
    ) EXECUTE FUNCTION ops.note_step();

-- What references from other objects can be looked up by: a URL or an identifier, as an HMAC, and which resource has it.
-- Rows are never taken away: what a resource was once known by it stays known by, whatever is processed when.
CREATE TABLE IF NOT EXISTS ops.known_target (
    tenant text NOT NULL,
    source text NOT NULL,
    target bytea NOT NULL,
    resource_type text NOT NULL,
    key_mac bytea NOT NULL,
    key bytea NOT NULL, -- sealed: `Type/id`
    PRIMARY KEY (tenant, source, target, key_mac)
);
-- How many resources were known by the target when the object was staged.
ALTER TABLE ops.reference_queue ADD COLUMN IF NOT EXISTS candidates int NOT NULL DEFAULT 0;
CREATE INDEX IF NOT EXISTS reference_object ON ops.reference_queue (object_seq);

-- The version of the FHIR contract under which an object was set aside.
ALTER TABLE ops.object ADD COLUMN IF NOT EXISTS contract text;
-- State `discarded`, which tables of before do not know.
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_constraint WHERE conrelid = 'ops.entry_quarantine'::regclass AND conname = 'entry_state_known'
    ) THEN
        RETURN;
    END IF;
    ALTER TABLE ops.entry_quarantine
        DROP CONSTRAINT IF EXISTS entry_quarantine_state_check,
        ADD CONSTRAINT entry_state_known CHECK (state IN ('open', 'replayed', 'discarded'));
END $$;

-- Kind `rebuild`, which tables of before do not know.
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_constraint WHERE conrelid = 'ops.batch'::regclass AND conname = 'batch_kind_known'
    ) THEN
        RETURN;
    END IF;
    ALTER TABLE ops.batch
        DROP CONSTRAINT IF EXISTS batch_kind_check,
        ADD CONSTRAINT batch_kind_known CHECK (kind IN ('load', 'rematch', 'compact', 'rebuild'));
END $$;
-- Candidates of a rebuild find their persons among those that have none yet; no other batch has such candidates.
CREATE INDEX IF NOT EXISTS candidate_unlinked ON ops.candidate_record USING gin (blocks) WITH (fastupdate = off)
    WHERE person_id IS NULL;

-- Which records hold which resources, as keyed hashes: pairs that a publication was the first to bring, sealed.
CREATE TABLE IF NOT EXISTS ops.resource_home (
    tenant text NOT NULL,
    seq bigint NOT NULL,
    part int NOT NULL DEFAULT 0,
    pairs bytea NOT NULL,
    PRIMARY KEY (tenant, seq, part)
);

-- Up to which time of the store the feed's new objects are surely in ops.object; null: look from the beginning.
ALTER TABLE ops.feed ADD COLUMN IF NOT EXISTS seen_until timestamptz;

-- Incidents, and whether somebody was told. An episode of a batch begins when a person releases it, one of a job with
-- each success, so however many attempts fail, an incident is one row.
CREATE TABLE IF NOT EXISTS ops.alert (
    subject text NOT NULL, -- a batch; or a job, with the tenant whose part it does
    reason text NOT NULL,
    episode text NOT NULL,
    alert_id uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    tenant text,
    batch_id text,
    job text,
    run_id text,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempts int NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT '-infinity',
    last_status text,
    told_at timestamptz,
    dead_at timestamptz,
    PRIMARY KEY (subject, reason, episode)
);
CREATE INDEX IF NOT EXISTS alert_waiting ON ops.alert (next_attempt_at) WHERE told_at IS NULL AND dead_at IS NULL;

-- Attempts that max_attempts does not count: a store was away.
ALTER TABLE ops.batch ADD COLUMN IF NOT EXISTS excused int NOT NULL DEFAULT 0;
-- Its batch failed more than once: it gets a batch of its own, so that it cannot take others with it.
ALTER TABLE ops.object ADD COLUMN IF NOT EXISTS alone boolean NOT NULL DEFAULT false;
-- Rows of it are published, whatever becomes of it when it is processed again.
ALTER TABLE ops.object ADD COLUMN IF NOT EXISTS was_published boolean NOT NULL DEFAULT false;
UPDATE ops.object SET was_published = true WHERE state = 'published' AND NOT was_published;

-- The least publication whose compacted tables are kept; earlier ones are read from the log, which always is.
ALTER TABLE ops.tenant ADD COLUMN IF NOT EXISTS bases_from bigint NOT NULL DEFAULT 0;
CREATE INDEX IF NOT EXISTS staged_file_unpublished ON ops.staged_file (batch_id) WHERE seq IS NULL;

-- Where the tenant's day begins, and the last of its days for which everybody was asked to be matched again.
ALTER TABLE ops.tenant ADD COLUMN IF NOT EXISTS time_zone text NOT NULL DEFAULT 'UTC';
ALTER TABLE ops.tenant ADD COLUMN IF NOT EXISTS matched_for date;
-- The files of the feeds bucket that the newest criteria were read from.
ALTER TABLE ops.criteria_version ADD COLUMN IF NOT EXISTS feeds_digest text;
CREATE INDEX IF NOT EXISTS object_found ON ops.object (tenant, found_at);
