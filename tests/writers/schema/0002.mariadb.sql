CREATE TABLE import_schema_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT import_schema_version_pkc PRIMARY KEY (version_num)
)

-- next

CREATE TABLE accounts (
	id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
	name LONGTEXT CHARACTER SET utf8mb4,
	status VARCHAR(32) CHARACTER SET utf8mb4 NOT NULL,
	created_at DATETIME(6) NOT NULL,
	updated_at DATETIME(6) NOT NULL,
	PRIMARY KEY (id)
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC

-- next

CREATE INDEX accounts_by_status ON accounts (status, id)

-- next

CREATE TABLE import_runs (
	run_id VARCHAR(32) CHARACTER SET utf8mb4 NOT NULL,
	account_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
	pass VARCHAR(32) CHARACTER SET utf8mb4 NOT NULL,
	number INTEGER NOT NULL,
	again VARCHAR(32) CHARACTER SET utf8mb4,
	source LONGTEXT CHARACTER SET utf8mb4 NOT NULL,
	state VARCHAR(32) CHARACTER SET utf8mb4 NOT NULL,
	requested_at DATETIME(6) NOT NULL,
	started_at DATETIME(6),
	finished_at DATETIME(6),
	attempts INTEGER NOT NULL,
	tries INTEGER NOT NULL,
	progress_at_claim BIGINT NOT NULL,
	not_before DOUBLE,
	token BIGINT NOT NULL,
	holder LONGTEXT CHARACTER SET utf8mb4,
	lease_until DOUBLE,
	spread BOOL NOT NULL,
	account_checked BOOL NOT NULL,
	skipped_objects JSON NOT NULL,
	rows_per_second DOUBLE,
	bytes_per_second DOUBLE,
	files_per_second DOUBLE,
	error_code VARCHAR(32) CHARACTER SET utf8mb4,
	error_message LONGTEXT CHARACTER SET utf8mb4,
	files_to LONGTEXT CHARACTER SET utf8mb4,
	describe_calls BOOL NOT NULL,
	files_total BIGINT NOT NULL,
	files_copied BIGINT NOT NULL,
	files_missing BIGINT NOT NULL,
	files_differ BIGINT NOT NULL,
	files_bytes BIGINT NOT NULL,
	verified JSON,
	PRIMARY KEY (run_id),
	CONSTRAINT import_runs_of_pass UNIQUE (account_id, pass, number)
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC

-- next

CREATE INDEX import_runs_by_request ON import_runs (requested_at, run_id)

-- next

CREATE INDEX import_runs_by_lease ON import_runs (lease_until)

-- next

CREATE INDEX import_runs_by_state ON import_runs (state, requested_at)

-- next

CREATE TABLE import_notices (
	id VARCHAR(32) CHARACTER SET utf8mb4 NOT NULL,
	channel VARCHAR(32) CHARACTER SET utf8mb4 NOT NULL,
	payload JSON NOT NULL,
	attempts INTEGER NOT NULL,
	created_at DATETIME(6) NOT NULL,
	not_before DOUBLE,
	delivered_at DATETIME(6),
	PRIMARY KEY (id)
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC

-- next

CREATE INDEX import_notices_due ON import_notices (not_before)

-- next

CREATE TABLE brands (
	account_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
	id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
	name LONGTEXT CHARACTER SET utf8mb4,
	PRIMARY KEY (account_id, id),
	FOREIGN KEY(account_id) REFERENCES accounts (id) ON DELETE CASCADE
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC

-- next

CREATE TABLE import_parts (
	run_id VARCHAR(32) CHARACTER SET utf8mb4 NOT NULL,
	number INTEGER NOT NULL,
	account_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
	entity VARCHAR(32) CHARACTER SET utf8mb4 NOT NULL,
	`key` LONGTEXT CHARACTER SET utf8mb4 NOT NULL,
	object_key LONGTEXT CHARACTER SET utf8mb4 NOT NULL,
	etag LONGTEXT CHARACTER SET utf8mb4 NOT NULL,
	size_bytes BIGINT NOT NULL,
	expected_rows BIGINT,
	expected_sha256 LONGTEXT CHARACTER SET utf8mb4,
	`window` LONGTEXT CHARACTER SET utf8mb4,
	token BIGINT NOT NULL,
	holder LONGTEXT CHARACTER SET utf8mb4,
	lease_until DOUBLE,
	tries INTEGER NOT NULL,
	`position` BIGINT NOT NULL,
	line BIGINT NOT NULL,
	`cursor` LONGTEXT CHARACTER SET utf8mb4,
	bytes_done BIGINT NOT NULL,
	done BOOL NOT NULL,
	read_count BIGINT NOT NULL,
	written_count BIGINT NOT NULL,
	unchanged_count BIGINT NOT NULL,
	rejected_count BIGINT NOT NULL,
	sanitised_count BIGINT NOT NULL,
	rejects_by_code JSON NOT NULL,
	ignored_fields JSON NOT NULL,
	restarted BOOL,
	PRIMARY KEY (run_id, number),
	FOREIGN KEY(run_id) REFERENCES import_runs (run_id) ON DELETE CASCADE,
	FOREIGN KEY(account_id) REFERENCES accounts (id) ON DELETE CASCADE
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC

-- next

CREATE INDEX import_parts_left ON import_parts (run_id, done, entity, number)

-- next

CREATE INDEX import_parts_by_lease ON import_parts (lease_until)

-- next

CREATE TABLE import_accounts (
	account_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
	deletions_since DATETIME(6),
	purged_at DATETIME(6),
	reset_scope VARCHAR(32) CHARACTER SET utf8mb4,
	reset_window LONGTEXT CHARACTER SET utf8mb4,
	reset_token BIGINT,
	reset_holder LONGTEXT CHARACTER SET utf8mb4,
	reset_until DOUBLE,
	PRIMARY KEY (account_id),
	FOREIGN KEY(account_id) REFERENCES accounts (id) ON DELETE CASCADE
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC

-- next

CREATE TABLE import_tombstones (
	account_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
	entity VARCHAR(32) CHARACTER SET utf8mb4 NOT NULL,
	id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
	deleted_at DATETIME(6) NOT NULL,
	from_dump BOOL NOT NULL,
	inherited BOOL NOT NULL DEFAULT false,
	PRIMARY KEY (account_id, entity, id),
	FOREIGN KEY(account_id) REFERENCES accounts (id) ON DELETE CASCADE
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC

-- next

CREATE TABLE channels (
	account_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
	id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
	brand_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
	kind LONGTEXT CHARACTER SET utf8mb4,
	name LONGTEXT CHARACTER SET utf8mb4,
	PRIMARY KEY (account_id, id),
	FOREIGN KEY(account_id, brand_id) REFERENCES brands (account_id, id) ON DELETE CASCADE
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC

-- next

CREATE TABLE import_rejects (
	run_id VARCHAR(32) CHARACTER SET utf8mb4 NOT NULL,
	part_number INTEGER NOT NULL,
	line BIGINT NOT NULL,
	account_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
	record_id LONGTEXT CHARACTER SET utf8mb4,
	reasons JSON NOT NULL,
	raw LONGTEXT CHARACTER SET utf8mb4,
	raw_truncated BOOL NOT NULL,
	PRIMARY KEY (run_id, part_number, line),
	FOREIGN KEY(run_id, part_number) REFERENCES import_parts (run_id, number) ON DELETE CASCADE
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC

-- next

CREATE TABLE import_reread (
	run_id VARCHAR(32) CHARACTER SET utf8mb4 NOT NULL,
	part_number INTEGER NOT NULL,
	id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
	PRIMARY KEY (run_id, part_number, id),
	FOREIGN KEY(run_id, part_number) REFERENCES import_parts (run_id, number) ON DELETE CASCADE
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC

-- next

CREATE TABLE import_files (
	account_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
	entity VARCHAR(32) CHARACTER SET utf8mb4 NOT NULL,
	record_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
	run_id VARCHAR(32) CHARACTER SET utf8mb4 NOT NULL,
	part_number INTEGER,
	line BIGINT,
	PRIMARY KEY (account_id, entity, record_id),
	FOREIGN KEY(run_id, part_number) REFERENCES import_parts (run_id, number) ON DELETE CASCADE
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC

-- next

CREATE INDEX import_files_by_part ON import_files (run_id, part_number)

-- next

CREATE TABLE threads (
	account_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
	id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
	brand_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
	channel_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
	subject LONGTEXT CHARACTER SET utf8mb4,
	status VARCHAR(32) CHARACTER SET utf8mb4 NOT NULL,
	tags JSON NOT NULL,
	custom_fields JSON NOT NULL,
	customer_id LONGTEXT CHARACTER SET utf8mb4,
	customer_name LONGTEXT CHARACTER SET utf8mb4,
	customer_email LONGTEXT CHARACTER SET utf8mb4,
	customer_phone LONGTEXT CHARACTER SET utf8mb4,
	assignee_id LONGTEXT CHARACTER SET utf8mb4,
	created_at DATETIME(6) NOT NULL,
	updated_at DATETIME(6),
	PRIMARY KEY (account_id, id),
	FOREIGN KEY(account_id, brand_id) REFERENCES brands (account_id, id) ON DELETE CASCADE,
	FOREIGN KEY(account_id, channel_id) REFERENCES channels (account_id, id) ON DELETE CASCADE
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC

-- next

CREATE TABLE messages (
	account_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
	id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
	thread_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
	origin VARCHAR(32) CHARACTER SET utf8mb4 NOT NULL,
	direction VARCHAR(32) CHARACTER SET utf8mb4 NOT NULL,
	visibility VARCHAR(32) CHARACTER SET utf8mb4 NOT NULL,
	author_type VARCHAR(32) CHARACTER SET utf8mb4,
	author_id LONGTEXT CHARACTER SET utf8mb4,
	author_name LONGTEXT CHARACTER SET utf8mb4,
	author_email LONGTEXT CHARACTER SET utf8mb4,
	author_phone LONGTEXT CHARACTER SET utf8mb4,
	`body` LONGTEXT CHARACTER SET utf8mb4,
	body_html LONGTEXT CHARACTER SET utf8mb4,
	call_id LONGTEXT CHARACTER SET utf8mb4,
	call_from LONGTEXT CHARACTER SET utf8mb4,
	call_to LONGTEXT CHARACTER SET utf8mb4,
	call_duration_seconds BIGINT,
	call_disposition LONGTEXT CHARACTER SET utf8mb4,
	recording_key LONGTEXT CHARACTER SET utf8mb4,
	transcript LONGTEXT CHARACTER SET utf8mb4,
	created_at DATETIME(6) NOT NULL,
	updated_at DATETIME(6),
	PRIMARY KEY (account_id, id),
	FOREIGN KEY(account_id, thread_id) REFERENCES threads (account_id, id) ON DELETE CASCADE
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC

-- next

CREATE INDEX messages_by_thread ON messages (account_id, thread_id, created_at)

-- next

CREATE TABLE attachments (
	account_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
	id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
	message_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
	filename LONGTEXT CHARACTER SET utf8mb4 NOT NULL,
	content_type LONGTEXT CHARACTER SET utf8mb4,
	size_bytes BIGINT,
	sha256 LONGTEXT CHARACTER SET utf8mb4,
	source_key LONGTEXT CHARACTER SET utf8mb4,
	source_url LONGTEXT CHARACTER SET utf8mb4,
	storage_key LONGTEXT CHARACTER SET utf8mb4,
	state VARCHAR(32) CHARACTER SET utf8mb4 NOT NULL,
	created_at DATETIME(6) NOT NULL,
	updated_at DATETIME(6),
	PRIMARY KEY (account_id, id),
	FOREIGN KEY(account_id, message_id) REFERENCES messages (account_id, id) ON DELETE CASCADE
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC

-- next

CREATE INDEX attachments_by_message ON attachments (account_id, message_id)

-- next

CREATE TABLE import_recordings (
	account_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
	message_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
	source_key LONGTEXT CHARACTER SET utf8mb4 NOT NULL,
	storage_key LONGTEXT CHARACTER SET utf8mb4,
	state VARCHAR(32) CHARACTER SET utf8mb4 NOT NULL,
	PRIMARY KEY (account_id, message_id),
	FOREIGN KEY(account_id, message_id) REFERENCES messages (account_id, id) ON DELETE CASCADE
)ENGINE=InnoDB CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC

-- next

CREATE TRIGGER import_deletions_of_brands BEFORE DELETE ON brands FOR EACH ROW BEGIN
                IF EXISTS (SELECT 1 FROM accounts JOIN import_accounts ON import_accounts.account_id = accounts.id AND deletions_since IS NOT NULL WHERE id = OLD.account_id) THEN
                    INSERT INTO import_tombstones (account_id, entity, id, deleted_at, from_dump) VALUES (OLD.account_id, 'brands', OLD.id, UTC_TIMESTAMP(6), 0)
                    ON DUPLICATE KEY UPDATE id = import_tombstones.id;
                    INSERT INTO import_tombstones (account_id, entity, id, deleted_at, from_dump) SELECT channels.account_id, 'channels', channels.id, UTC_TIMESTAMP(6), 0 FROM channels WHERE channels.account_id = OLD.account_id AND channels.brand_id = OLD.id ON DUPLICATE KEY UPDATE id = import_tombstones.id;INSERT INTO import_tombstones (account_id, entity, id, deleted_at, from_dump) SELECT threads.account_id, 'threads', threads.id, UTC_TIMESTAMP(6), 0 FROM channels JOIN threads ON threads.account_id = channels.account_id AND threads.channel_id = channels.id WHERE channels.account_id = OLD.account_id AND channels.brand_id = OLD.id ON DUPLICATE KEY UPDATE id = import_tombstones.id;INSERT INTO import_tombstones (account_id, entity, id, deleted_at, from_dump) SELECT messages.account_id, 'messages', messages.id, UTC_TIMESTAMP(6), 0 FROM channels JOIN threads ON threads.account_id = channels.account_id AND threads.channel_id = channels.id JOIN messages ON messages.account_id = threads.account_id AND messages.thread_id = threads.id WHERE channels.account_id = OLD.account_id AND channels.brand_id = OLD.id ON DUPLICATE KEY UPDATE id = import_tombstones.id;INSERT INTO import_tombstones (account_id, entity, id, deleted_at, from_dump) SELECT attachments.account_id, 'attachments', attachments.id, UTC_TIMESTAMP(6), 0 FROM channels JOIN threads ON threads.account_id = channels.account_id AND threads.channel_id = channels.id JOIN messages ON messages.account_id = threads.account_id AND messages.thread_id = threads.id JOIN attachments ON attachments.account_id = messages.account_id AND attachments.message_id = messages.id WHERE channels.account_id = OLD.account_id AND channels.brand_id = OLD.id ON DUPLICATE KEY UPDATE id = import_tombstones.id;INSERT INTO import_tombstones (account_id, entity, id, deleted_at, from_dump) SELECT threads.account_id, 'threads', threads.id, UTC_TIMESTAMP(6), 0 FROM threads WHERE threads.account_id = OLD.account_id AND threads.brand_id = OLD.id ON DUPLICATE KEY UPDATE id = import_tombstones.id;INSERT INTO import_tombstones (account_id, entity, id, deleted_at, from_dump) SELECT messages.account_id, 'messages', messages.id, UTC_TIMESTAMP(6), 0 FROM threads JOIN messages ON messages.account_id = threads.account_id AND messages.thread_id = threads.id WHERE threads.account_id = OLD.account_id AND threads.brand_id = OLD.id ON DUPLICATE KEY UPDATE id = import_tombstones.id;INSERT INTO import_tombstones (account_id, entity, id, deleted_at, from_dump) SELECT attachments.account_id, 'attachments', attachments.id, UTC_TIMESTAMP(6), 0 FROM threads JOIN messages ON messages.account_id = threads.account_id AND messages.thread_id = threads.id JOIN attachments ON attachments.account_id = messages.account_id AND attachments.message_id = messages.id WHERE threads.account_id = OLD.account_id AND threads.brand_id = OLD.id ON DUPLICATE KEY UPDATE id = import_tombstones.id;
                END IF;
            END

-- next

CREATE TRIGGER import_deletions_of_channels BEFORE DELETE ON channels FOR EACH ROW BEGIN
                IF EXISTS (SELECT 1 FROM accounts JOIN import_accounts ON import_accounts.account_id = accounts.id AND deletions_since IS NOT NULL WHERE id = OLD.account_id) THEN
                    INSERT INTO import_tombstones (account_id, entity, id, deleted_at, from_dump) VALUES (OLD.account_id, 'channels', OLD.id, UTC_TIMESTAMP(6), 0)
                    ON DUPLICATE KEY UPDATE id = import_tombstones.id;
                    INSERT INTO import_tombstones (account_id, entity, id, deleted_at, from_dump) SELECT threads.account_id, 'threads', threads.id, UTC_TIMESTAMP(6), 0 FROM threads WHERE threads.account_id = OLD.account_id AND threads.channel_id = OLD.id ON DUPLICATE KEY UPDATE id = import_tombstones.id;INSERT INTO import_tombstones (account_id, entity, id, deleted_at, from_dump) SELECT messages.account_id, 'messages', messages.id, UTC_TIMESTAMP(6), 0 FROM threads JOIN messages ON messages.account_id = threads.account_id AND messages.thread_id = threads.id WHERE threads.account_id = OLD.account_id AND threads.channel_id = OLD.id ON DUPLICATE KEY UPDATE id = import_tombstones.id;INSERT INTO import_tombstones (account_id, entity, id, deleted_at, from_dump) SELECT attachments.account_id, 'attachments', attachments.id, UTC_TIMESTAMP(6), 0 FROM threads JOIN messages ON messages.account_id = threads.account_id AND messages.thread_id = threads.id JOIN attachments ON attachments.account_id = messages.account_id AND attachments.message_id = messages.id WHERE threads.account_id = OLD.account_id AND threads.channel_id = OLD.id ON DUPLICATE KEY UPDATE id = import_tombstones.id;
                END IF;
            END

-- next

CREATE TRIGGER import_deletions_of_threads BEFORE DELETE ON threads FOR EACH ROW BEGIN
                IF EXISTS (SELECT 1 FROM accounts JOIN import_accounts ON import_accounts.account_id = accounts.id AND deletions_since IS NOT NULL WHERE id = OLD.account_id) THEN
                    INSERT INTO import_tombstones (account_id, entity, id, deleted_at, from_dump) VALUES (OLD.account_id, 'threads', OLD.id, UTC_TIMESTAMP(6), 0)
                    ON DUPLICATE KEY UPDATE id = import_tombstones.id;
                    INSERT INTO import_tombstones (account_id, entity, id, deleted_at, from_dump) SELECT messages.account_id, 'messages', messages.id, UTC_TIMESTAMP(6), 0 FROM messages WHERE messages.account_id = OLD.account_id AND messages.thread_id = OLD.id ON DUPLICATE KEY UPDATE id = import_tombstones.id;INSERT INTO import_tombstones (account_id, entity, id, deleted_at, from_dump) SELECT attachments.account_id, 'attachments', attachments.id, UTC_TIMESTAMP(6), 0 FROM messages JOIN attachments ON attachments.account_id = messages.account_id AND attachments.message_id = messages.id WHERE messages.account_id = OLD.account_id AND messages.thread_id = OLD.id ON DUPLICATE KEY UPDATE id = import_tombstones.id;
                END IF;
            END

-- next

CREATE TRIGGER import_deletions_of_messages BEFORE DELETE ON messages FOR EACH ROW BEGIN
                IF EXISTS (SELECT 1 FROM accounts JOIN import_accounts ON import_accounts.account_id = accounts.id AND deletions_since IS NOT NULL WHERE id = OLD.account_id) THEN
                    INSERT INTO import_tombstones (account_id, entity, id, deleted_at, from_dump) VALUES (OLD.account_id, 'messages', OLD.id, UTC_TIMESTAMP(6), 0)
                    ON DUPLICATE KEY UPDATE id = import_tombstones.id;
                    INSERT INTO import_tombstones (account_id, entity, id, deleted_at, from_dump) SELECT attachments.account_id, 'attachments', attachments.id, UTC_TIMESTAMP(6), 0 FROM attachments WHERE attachments.account_id = OLD.account_id AND attachments.message_id = OLD.id ON DUPLICATE KEY UPDATE id = import_tombstones.id;
                END IF;
            END

-- next

CREATE TRIGGER import_deletions_of_attachments BEFORE DELETE ON attachments FOR EACH ROW BEGIN
                IF EXISTS (SELECT 1 FROM accounts JOIN import_accounts ON import_accounts.account_id = accounts.id AND deletions_since IS NOT NULL WHERE id = OLD.account_id) THEN
                    INSERT INTO import_tombstones (account_id, entity, id, deleted_at, from_dump) VALUES (OLD.account_id, 'attachments', OLD.id, UTC_TIMESTAMP(6), 0)
                    ON DUPLICATE KEY UPDATE id = import_tombstones.id;

                END IF;
            END

-- next

INSERT INTO import_schema_version (version_num) VALUES ('0002')
