// What Bitwarden's own kit does with Secrets Manager, for the tests: one
// operation, its result as JSON.
// usage: node bws.cjs MODULES SERVER ORGANIZATION OPERATION ARGUMENT...
// The access token comes by stdin.
const [modules, server, organization, operation, ...args] = process.argv.slice(2);
const { BitwardenClient, DeviceType } = require(modules + "/@bitwarden/sdk-napi");

const operations = {
  project: (c, name) => c.projects().create(organization, name),
  create: (c, project, name, value, note) => c.secrets().create(organization, name, value, note, project ? [project] : []),
  update: (c, id, project, name, value, note) => c.secrets().update(organization, id, name, value, note, [project]),
  remove: (c, id) => c.secrets().delete([id]),
  get: (c, id) => c.secrets().get(id),
};

async function main() {
  const token = require("fs").readFileSync(0, "utf8").trim();
  const client = new BitwardenClient({
    apiUrl: server + "/api", identityUrl: server + "/identity", userAgent: "test", deviceType: DeviceType.SDK,
  }, 4);
  await client.auth().loginAccessToken(token);
  console.log(JSON.stringify(await operations[operation](client, ...args)));
}

main().catch((e) => { console.error(e); process.exit(1); });
