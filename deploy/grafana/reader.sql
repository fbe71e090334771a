-- The user by whom Grafana reads the database, and cannot write. Run it again to give the user another password:
--     GRAFANA_DATABASE_PASSWORD=… psql --file reader.sql
\getenv password GRAFANA_DATABASE_PASSWORD
select 'create role grafana login' where not exists (select from pg_roles where rolname = 'grafana') \gexec
alter role grafana password :'password';
grant pg_read_all_data to grafana;
alter role grafana set default_transaction_read_only = on;
-- A panel over too long a window gives up, and does not hold up the hub.
alter role grafana set statement_timeout = '30s';
