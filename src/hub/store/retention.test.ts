import { startTestServer } from '../../../test/support/hub-database.ts';
import { retentionCases } from '../../../test/support/retention-cases.ts';

const server = await startTestServer();
retentionCases(() => server.database());
