/** The dashboard for the hub's database on plain PostgreSQL; test/timescale/ has it on TimescaleDB. */
import { machinesDashboardCases } from '../support/machines-dashboard-cases.ts';
import { startTestServer } from '../support/hub-database.ts';

const server = await startTestServer();
machinesDashboardCases(() => server.database());
