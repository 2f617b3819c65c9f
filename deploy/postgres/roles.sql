-- The four roles and three schemas of the database this runs in.
-- Run by a superuser, in one transaction (psql --single-transaction; asyncpg does so by itself); may be run again.
--
-- Passwords come as settings of the session (PGOPTIONS with psql, server_settings with asyncpg):
-- rswind.writer_password, rswind.portal_password, rswind.query_password, rswind.gateway_password.
-- Whoever runs this again with other passwords changes them.

DO $roles$
DECLARE
    role_name text;
    password text;
BEGIN
    -- Roles belong to the server, not to the database: two runs at once would meet in the catalogue,
    -- and an advisory lock would only hold back those in the same database.
    LOCK TABLE pg_catalog.pg_authid IN SHARE ROW EXCLUSIVE MODE;

    FOREACH role_name IN ARRAY ARRAY['writer', 'portal', 'query', 'gateway'] LOOP
        password := current_setting('rswind.' || role_name || '_password', true);
        IF password IS NULL OR password = '' THEN
            RAISE EXCEPTION 'set rswind.%_password before running roles.sql', role_name;
        END IF;
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            EXECUTE format('CREATE ROLE %I', role_name);
        END IF;
        EXECUTE format('ALTER ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD %L', role_name, password);
    END LOOP;

    -- Not everybody's: without a grant a role cannot even connect.
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO writer, portal, query, gateway', current_database());
    -- The projector stages the list of a customer in a temporary table before it replaces the rows.
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO portal', current_database());
END
$roles$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;

CREATE SCHEMA IF NOT EXISTS writer AUTHORIZATION writer;
CREATE SCHEMA IF NOT EXISTS portal AUTHORIZATION portal;
CREATE SCHEMA IF NOT EXISTS gateway AUTHORIZATION gateway;

-- The query api reads what the projector wrote, and can write nothing anywhere.
GRANT USAGE ON SCHEMA portal TO query;
GRANT SELECT ON ALL TABLES IN SCHEMA portal TO query;
ALTER DEFAULT PRIVILEGES FOR ROLE portal IN SCHEMA portal GRANT SELECT ON TABLES TO query;
ALTER ROLE query SET default_transaction_read_only = on;

-- An answer to a command means: it is on the disk.
ALTER ROLE writer SET synchronous_commit = on;
ALTER ROLE gateway SET synchronous_commit = on;
ALTER ROLE portal SET synchronous_commit = on;
-- A batch of the projector is unpacked, sorted and grouped in memory; it has a handful of connections.
ALTER ROLE portal SET work_mem = '64MB';
