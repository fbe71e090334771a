/** `database.read_url`: where the replicas of the database are. */
import { percentDecoded } from '../base/percent.ts';
import type { ReplicaSettings } from './settings.ts';

export const READ_URL_ALLOWED =
  'a URL such as postgresql://user:password@host:5432/name, or hosts such as host1,host2:5433';

type ReplicaDefaults = Pick<ReplicaSettings, 'dbname' | 'user' | 'password'>;
const NO_DEFAULTS: ReplicaDefaults = { dbname: '', user: '', password: '' };
const POSTGRES_PORT = 5432;

/** In the form of libpq: several hosts stand in one URL, divided by commas. undefined for what is no such thing. */
export function replicasOf(
  url: string,
  defaults: ReplicaDefaults = NO_DEFAULTS,
): readonly ReplicaSettings[] | undefined {
  const match = /^(?:postgres(?:ql)?:\/\/)?(?:([^@/]*)@)?([^@/?#]+)(?:\/([^/?#]*))?$/.exec(url.trim());
  if (match === null) return undefined;
  const [, login = '', hosts = '', dbname = ''] = match;
  const replicas = hosts.split(',').map((host) => {
    const parsed = URL.parse(`postgresql://${login === '' ? '' : `${login}@`}${host.trim()}/${dbname}`);
    if (parsed === null || parsed.hostname === '') return undefined;
    return {
      host: parsed.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: parsed.port === '' ? POSTGRES_PORT : Number(parsed.port),
      dbname: percentDecoded(parsed.pathname.slice(1)) || defaults.dbname,
      user: percentDecoded(parsed.username) || defaults.user,
      password: percentDecoded(parsed.password) || defaults.password,
    };
  });
  return replicas.every((replica) => replica !== undefined) ? replicas : undefined;
}
