-- The four roles and three schemas of the database this runs in, and the owner of the audit, who cannot sign in.
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

    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'gateway_owner') THEN
        CREATE ROLE gateway_owner;
    END IF;
    ALTER ROLE gateway_owner NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;

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

-- The owner of a schema may drop any table in it. So the gateway's role does not own its schema: it makes and owns its
-- own tables there, and of the audit it may only add rows and read them.
CREATE SCHEMA IF NOT EXISTS gateway AUTHORIZATION gateway_owner;
ALTER SCHEMA gateway OWNER TO gateway_owner;
GRANT USAGE, CREATE ON SCHEMA gateway TO gateway;

-- Called by the migration that follows the one which makes the table. It needs a superuser, hence its owner; it does
-- this one thing and takes no argument.
CREATE OR REPLACE FUNCTION gateway.seal_audit() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $seal$
BEGIN
    ALTER TABLE gateway.audit_event OWNER TO gateway_owner;
    REVOKE ALL ON gateway.audit_event FROM PUBLIC, gateway;
    GRANT SELECT, INSERT ON gateway.audit_event TO gateway;
END
$seal$;
REVOKE ALL ON FUNCTION gateway.seal_audit() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gateway.seal_audit() TO gateway;

-- The one way in which audit rows go: by age, and never before thirty days (GATEWAY_AUDIT_DAYS is at least that).
CREATE OR REPLACE FUNCTION gateway.forget_audit(keep_days integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $forget$
DECLARE
    forgotten bigint;
BEGIN
    DELETE FROM gateway.audit_event WHERE at < now() - make_interval(days => greatest(keep_days, 30));
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    RETURN forgotten;
END
$forget$;
ALTER FUNCTION gateway.forget_audit(integer) OWNER TO gateway_owner;
REVOKE ALL ON FUNCTION gateway.forget_audit(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gateway.forget_audit(integer) TO gateway;

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
