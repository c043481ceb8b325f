CREATE TABLE import_schema_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT import_schema_version_pkc PRIMARY KEY (version_num)
)

-- next

CREATE TABLE accounts (
	id VARCHAR(255) NOT NULL,
	name TEXT,
	status VARCHAR(32) NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME NOT NULL,
	PRIMARY KEY (id)
)

-- next

CREATE INDEX accounts_by_status ON accounts (status, id)

-- next

CREATE TABLE import_runs (
	run_id VARCHAR(32) NOT NULL,
	account_id VARCHAR(255) NOT NULL,
	pass VARCHAR(32) NOT NULL,
	number INTEGER NOT NULL,
	again VARCHAR(32),
	source TEXT NOT NULL,
	state VARCHAR(32) NOT NULL,
	requested_at DATETIME NOT NULL,
	started_at DATETIME,
	finished_at DATETIME,
	attempts INTEGER NOT NULL,
	tries INTEGER NOT NULL,
	progress_at_claim BIGINT NOT NULL,
	not_before DOUBLE,
	token BIGINT NOT NULL,
	holder TEXT,
	lease_until DOUBLE,
	spread BOOLEAN NOT NULL,
	account_checked BOOLEAN NOT NULL,
	skipped_objects JSON NOT NULL,
	rows_per_second DOUBLE,
	bytes_per_second DOUBLE,
	files_per_second DOUBLE,
	error_code VARCHAR(32),
	error_message TEXT,
	files_to TEXT,
	describe_calls BOOLEAN NOT NULL,
	files_total BIGINT NOT NULL,
	files_copied BIGINT NOT NULL,
	files_missing BIGINT NOT NULL,
	files_differ BIGINT NOT NULL,
	files_bytes BIGINT NOT NULL,
	verified JSON,
	PRIMARY KEY (run_id),
	CONSTRAINT import_runs_of_pass UNIQUE (account_id, pass, number)
)

-- next

CREATE INDEX import_runs_by_request ON import_runs (requested_at, run_id)

-- next

CREATE INDEX import_runs_by_lease ON import_runs (lease_until)

-- next

CREATE INDEX import_runs_by_state ON import_runs (state, requested_at)

-- next

CREATE TABLE import_notices (
	id VARCHAR(32) NOT NULL,
	channel VARCHAR(32) NOT NULL,
	payload JSON NOT NULL,
	attempts INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	not_before DOUBLE,
	delivered_at DATETIME,
	PRIMARY KEY (id)
)

-- next

CREATE INDEX import_notices_due ON import_notices (not_before)

-- next

CREATE TABLE brands (
	account_id VARCHAR(255) NOT NULL,
	id VARCHAR(255) NOT NULL,
	name TEXT,
	PRIMARY KEY (account_id, id),
	FOREIGN KEY(account_id) REFERENCES accounts (id) ON DELETE CASCADE
)

-- next

CREATE TABLE import_parts (
	run_id VARCHAR(32) NOT NULL,
	number INTEGER NOT NULL,
	account_id VARCHAR(255) NOT NULL,
	entity VARCHAR(32) NOT NULL,
	"key" TEXT NOT NULL,
	object_key TEXT NOT NULL,
	etag TEXT NOT NULL,
	size_bytes BIGINT NOT NULL,
	expected_rows BIGINT,
	expected_sha256 TEXT,
	window TEXT,
	token BIGINT NOT NULL,
	holder TEXT,
	lease_until DOUBLE,
	tries INTEGER NOT NULL,
	position BIGINT NOT NULL,
	line BIGINT NOT NULL,
	cursor TEXT,
	bytes_done BIGINT NOT NULL,
	done BOOLEAN NOT NULL,
	read_count BIGINT NOT NULL,
	written_count BIGINT NOT NULL,
	unchanged_count BIGINT NOT NULL,
	rejected_count BIGINT NOT NULL,
	sanitised_count BIGINT NOT NULL,
	rejects_by_code JSON NOT NULL,
	ignored_fields JSON NOT NULL,
	restarted BOOLEAN,
	PRIMARY KEY (run_id, number),
	FOREIGN KEY(run_id) REFERENCES import_runs (run_id) ON DELETE CASCADE,
	FOREIGN KEY(account_id) REFERENCES accounts (id) ON DELETE CASCADE
)

-- next

CREATE INDEX import_parts_left ON import_parts (run_id, done, entity, number)

-- next

CREATE INDEX import_parts_by_lease ON import_parts (lease_until)

-- next

CREATE TABLE import_accounts (
	account_id VARCHAR(255) NOT NULL,
	deletions_since DATETIME,
	purged_at DATETIME,
	reset_scope VARCHAR(32),
	reset_window TEXT,
	reset_token BIGINT,
	reset_holder TEXT,
	reset_until DOUBLE,
	PRIMARY KEY (account_id),
	FOREIGN KEY(account_id) REFERENCES accounts (id) ON DELETE CASCADE
)

-- next

CREATE TABLE import_tombstones (
	account_id VARCHAR(255) NOT NULL,
	entity VARCHAR(32) NOT NULL,
	id VARCHAR(255) NOT NULL,
	deleted_at DATETIME NOT NULL,
	from_dump BOOLEAN NOT NULL,
	inherited BOOLEAN DEFAULT 0 NOT NULL,
	PRIMARY KEY (account_id, entity, id),
	FOREIGN KEY(account_id) REFERENCES accounts (id) ON DELETE CASCADE
)

-- next

CREATE TABLE channels (
	account_id VARCHAR(255) NOT NULL,
	id VARCHAR(255) NOT NULL,
	brand_id VARCHAR(255) NOT NULL,
	kind TEXT,
	name TEXT,
	PRIMARY KEY (account_id, id),
	FOREIGN KEY(account_id, brand_id) REFERENCES brands (account_id, id) ON DELETE CASCADE
)

-- next

CREATE TABLE import_rejects (
	run_id VARCHAR(32) NOT NULL,
	part_number INTEGER NOT NULL,
	line BIGINT NOT NULL,
	account_id VARCHAR(255) NOT NULL,
	record_id TEXT,
	reasons JSON NOT NULL,
	raw TEXT,
	raw_truncated BOOLEAN NOT NULL,
	PRIMARY KEY (run_id, part_number, line),
	FOREIGN KEY(run_id, part_number) REFERENCES import_parts (run_id, number) ON DELETE CASCADE
)

-- next

CREATE TABLE import_reread (
	run_id VARCHAR(32) NOT NULL,
	part_number INTEGER NOT NULL,
	id VARCHAR(255) NOT NULL,
	PRIMARY KEY (run_id, part_number, id),
	FOREIGN KEY(run_id, part_number) REFERENCES import_parts (run_id, number) ON DELETE CASCADE
)

-- next

CREATE TABLE import_files (
	account_id VARCHAR(255) NOT NULL,
	entity VARCHAR(32) NOT NULL,
	record_id VARCHAR(255) NOT NULL,
	run_id VARCHAR(32) NOT NULL,
	part_number INTEGER,
	line BIGINT,
	PRIMARY KEY (account_id, entity, record_id),
	FOREIGN KEY(run_id, part_number) REFERENCES import_parts (run_id, number) ON DELETE CASCADE
)

-- next

CREATE INDEX import_files_by_part ON import_files (run_id, part_number)

-- next

CREATE TABLE threads (
	account_id VARCHAR(255) NOT NULL,
	id VARCHAR(255) NOT NULL,
	brand_id VARCHAR(255) NOT NULL,
	channel_id VARCHAR(255) NOT NULL,
	subject TEXT,
	status VARCHAR(32) NOT NULL,
	tags JSON NOT NULL,
	custom_fields JSON NOT NULL,
	customer_id TEXT,
	customer_name TEXT,
	customer_email TEXT,
	customer_phone TEXT,
	assignee_id TEXT,
	created_at DATETIME NOT NULL,
	updated_at DATETIME,
	PRIMARY KEY (account_id, id),
	FOREIGN KEY(account_id, brand_id) REFERENCES brands (account_id, id) ON DELETE CASCADE,
	FOREIGN KEY(account_id, channel_id) REFERENCES channels (account_id, id) ON DELETE CASCADE
)

-- next

CREATE TABLE messages (
	account_id VARCHAR(255) NOT NULL,
	id VARCHAR(255) NOT NULL,
	thread_id VARCHAR(255) NOT NULL,
	origin VARCHAR(32) NOT NULL,
	direction VARCHAR(32) NOT NULL,
	visibility VARCHAR(32) NOT NULL,
	author_type VARCHAR(32),
	author_id TEXT,
	author_name TEXT,
	author_email TEXT,
	author_phone TEXT,
	body TEXT,
	body_html TEXT,
	call_id TEXT,
	call_from TEXT,
	call_to TEXT,
	call_duration_seconds BIGINT,
	call_disposition TEXT,
	recording_key TEXT,
	transcript TEXT,
	created_at DATETIME NOT NULL,
	updated_at DATETIME,
	PRIMARY KEY (account_id, id),
	FOREIGN KEY(account_id, thread_id) REFERENCES threads (account_id, id) ON DELETE CASCADE
)

-- next

CREATE INDEX messages_by_thread ON messages (account_id, thread_id, created_at)

-- next

CREATE TABLE attachments (
	account_id VARCHAR(255) NOT NULL,
	id VARCHAR(255) NOT NULL,
	message_id VARCHAR(255) NOT NULL,
	filename TEXT NOT NULL,
	content_type TEXT,
	size_bytes BIGINT,
	sha256 TEXT,
	source_key TEXT,
	source_url TEXT,
	storage_key TEXT,
	state VARCHAR(32) NOT NULL,
	created_at DATETIME NOT NULL,
	updated_at DATETIME,
	PRIMARY KEY (account_id, id),
	FOREIGN KEY(account_id, message_id) REFERENCES messages (account_id, id) ON DELETE CASCADE
)

-- next

CREATE INDEX attachments_by_message ON attachments (account_id, message_id)

-- next

CREATE TABLE import_recordings (
	account_id VARCHAR(255) NOT NULL,
	message_id VARCHAR(255) NOT NULL,
	source_key TEXT NOT NULL,
	storage_key TEXT,
	state VARCHAR(32) NOT NULL,
	PRIMARY KEY (account_id, message_id),
	FOREIGN KEY(account_id, message_id) REFERENCES messages (account_id, id) ON DELETE CASCADE
)

-- next

CREATE TRIGGER import_deletions_of_brands AFTER DELETE ON brands BEGIN
                INSERT OR IGNORE INTO import_tombstones (account_id, entity, id, deleted_at, from_dump)
                SELECT id, 'brands', OLD.id, strftime('%Y-%m-%d %H:%M:%f000', 'now'), 0
                FROM accounts JOIN import_accounts ON import_accounts.account_id = accounts.id AND deletions_since IS NOT NULL WHERE id = OLD.account_id;
            END

-- next

CREATE TRIGGER import_deletions_of_channels AFTER DELETE ON channels BEGIN
                INSERT OR IGNORE INTO import_tombstones (account_id, entity, id, deleted_at, from_dump)
                SELECT id, 'channels', OLD.id, strftime('%Y-%m-%d %H:%M:%f000', 'now'), 0
                FROM accounts JOIN import_accounts ON import_accounts.account_id = accounts.id AND deletions_since IS NOT NULL WHERE id = OLD.account_id;
            END

-- next

CREATE TRIGGER import_deletions_of_threads AFTER DELETE ON threads BEGIN
                INSERT OR IGNORE INTO import_tombstones (account_id, entity, id, deleted_at, from_dump)
                SELECT id, 'threads', OLD.id, strftime('%Y-%m-%d %H:%M:%f000', 'now'), 0
                FROM accounts JOIN import_accounts ON import_accounts.account_id = accounts.id AND deletions_since IS NOT NULL WHERE id = OLD.account_id;
            END

-- next

CREATE TRIGGER import_deletions_of_messages AFTER DELETE ON messages BEGIN
                INSERT OR IGNORE INTO import_tombstones (account_id, entity, id, deleted_at, from_dump)
                SELECT id, 'messages', OLD.id, strftime('%Y-%m-%d %H:%M:%f000', 'now'), 0
                FROM accounts JOIN import_accounts ON import_accounts.account_id = accounts.id AND deletions_since IS NOT NULL WHERE id = OLD.account_id;
            END

-- next

CREATE TRIGGER import_deletions_of_attachments AFTER DELETE ON attachments BEGIN
                INSERT OR IGNORE INTO import_tombstones (account_id, entity, id, deleted_at, from_dump)
                SELECT id, 'attachments', OLD.id, strftime('%Y-%m-%d %H:%M:%f000', 'now'), 0
                FROM accounts JOIN import_accounts ON import_accounts.account_id = accounts.id AND deletions_since IS NOT NULL WHERE id = OLD.account_id;
            END

-- next

INSERT INTO import_schema_version (version_num) VALUES ('0002')
