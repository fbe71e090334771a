import { startTestServer } from '../../../test/support/hub-database.ts';
import { rollupCases } from '../../../test/support/rollup-cases.ts';

const server = await startTestServer();
rollupCases(() => server.database());
