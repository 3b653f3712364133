// The calls of Milvus's Node.js client, over gRPC and HTTP, on rows that came by import.
// Arguments: the server's address, an API key, a folder of its import roots. Prints one JSON object.
'use strict';

const fs = require('fs');
const path = require('path');
const { BulkWriter, DataType, HttpClient, MilvusClient, RRFRanker } = require('@zilliz/milvus2-sdk-node');

const [url, key, folder] = process.argv.slice(2);
const name = 'node_docs';
const results = {};

const fields = [
  { name: 'id', data_type: DataType.Int64, is_primary_key: true },
  { name: 'title', data_type: DataType.VarChar, max_length: 64 },
  { name: 'tags', data_type: DataType.Array, element_type: DataType.VarChar, max_capacity: 4, max_length: 8 },
  { name: 'meta', data_type: DataType.JSON },
  { name: 'vector', data_type: DataType.FloatVector, dim: 4 },
  { name: 'words', data_type: DataType.SparseFloatVector },
];
const indexes = [
  { field_name: 'vector', index_type: 'HNSW', metric_type: 'L2', params: { M: 8, efConstruction: 64 } },
  { field_name: 'words', index_name: 'words_index', index_type: 'SPARSE_INVERTED_INDEX', metric_type: 'IP' },
];

function row(number) {
  return {
    id: number,
    title: `film ${number}`,
    tags: [number % 2 ? 'odd' : 'even'],
    meta: { rank: number },
    vector: [number, 0, 0, 0],
    words: { 1: number, 5: 1 },
    note: `note ${number}`,
  };
}

const sleep = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds));
const ok = answer => (answer.status || answer).error_code + (answer.code || (answer.status || {}).code || '');
const scores = found => found.results.map(hit => [hit.id, Math.round(hit.score * 1e4) / 1e4]);

async function write(format) {
  const writer = new BulkWriter({
    schema: { fields, enable_dynamic_field: true },
    format,
    localPath: path.join(folder, `node_${format}`),
  });
  const first = format === 'parquet' ? 1 : 9;
  for (let number = first; number < first + 8; number++) await writer.append(row(number));
  return await writer.close();
}

async function overGrpc(client) {
  results.version = (await client.getVersion()).version;
  results.health = (await client.checkHealth()).isHealthy;
  results.missing = (await client.hasCollection({ collection_name: 'node_nope' })).value;
  const wrong = await client.describeCollection({ collection_name: 'node_nope' });
  results.describeMissing = [wrong.status.code, wrong.status.error_code, wrong.status.reason];
  results.create = ok(
    await client.createCollection({
      collection_name: name, fields, enable_dynamic_field: true, index_params: indexes, consistency_level: 'Strong',
    })
  );
  const described = await client.describeCollection({ collection_name: name });
  results.described = described.schema.fields.map(field => [field.name, field.data_type, field.fieldID]);
  results.shown = (await client.showCollections()).data.map(each => each.name).includes(name);
  await client.createPartition({ collection_name: name, partition_name: 'late' });
  results.partitions = (await client.listPartitions({ collection_name: name })).partition_names;

  const files = (await write('parquet')).flat();
  const created = await client.bulkInsert({ collection_name: name, files, partition_name: 'late' });
  const [task] = created.tasks;
  let state;
  do {
    await sleep(100);
    state = await client.getImportState({ task });
  } while (!['ImportCompleted', 'ImportFailed'].includes(state.state));
  results.bulkInsert = [state.state, state.row_count];
  const tasks = (await client.listImportTasks({ collection_name: name })).tasks;
  results.listImportTasks = tasks.map(each => [each.id === task, each.state]);
}

async function importOverHttp(http) {
  const files = await write('json');
  const created = await http.createImportJobs({ collectionName: name, files });
  const jobId = created.data.jobId;
  let progress;
  do {
    await sleep(100);
    progress = await http.getImportJobProgress({ jobId });
  } while (!['Completed', 'Failed'].includes(progress.data.state));
  results.importJob = [created.code, progress.data.state, progress.data.importedRows, progress.data.reason || ''];
  const jobs = await http.listImportJobs({ collectionName: name });
  results.listImportJobs = jobs.data.records.map(job => [job.collectionName, job.state, job.progress]).sort();
}

async function readOverGrpc(client) {
  results.load = ok(await client.loadCollectionSync({ collection_name: name }));
  results.loadState = (await client.getLoadState({ collection_name: name })).state;
  results.refresh = ok(await client.refreshLoad({ collection_name: name }));
  results.statistics = (await client.getCollectionStatistics({ collection_name: name })).data.row_count;
  results.count = (await client.count({ collection_name: name })).data;
  const query = { collection_name: name, filter: 'id in [3, 12]', output_fields: ['*'] };
  results.query = (await client.query(query)).data;
  results.get = (await client.get({ collection_name: name, ids: [4], output_fields: ['title'] })).data;
  const template = { collection_name: name, expr: 'id < {low}', exprValues: { low: 3 }, output_fields: ['id'] };
  results.template = (await client.query(template)).data.map(each => each.id);
  const vector = [0.2, 0, 0, 0];
  const search = { collection_name: name, data: vector, anns_field: 'vector', limit: 2 };
  results.search = scores(await client.search(search));
  const found = await client.search({ ...search, output_fields: ['id', 'note'], filter: 'id > 4', limit: 1 });
  results.searchFields = found.results;
  results.searchParams = scores(await client.search({ ...search, params: { ef: 32 }, metric_type: 'L2', offset: 1 }));
  results.sparse = scores(
    await client.search({ collection_name: name, data: { 1: 1 }, anns_field: 'words', limit: 1 })
  );
  const hybrid = await client.hybridSearch({
    collection_name: name,
    data: [
      { data: vector, anns_field: 'vector', params: { ef: 32 } },
      { data: { 1: 1 }, anns_field: 'words' },
    ],
    rerank: RRFRanker(),
    limit: 2,
    output_fields: ['id'],
  });
  results.hybrid = scores(hybrid);
  const pages = [];
  const iterator = await client.queryIterator({ collection_name: name, batchSize: 6, output_fields: ['id'], expr: '' });
  for await (const page of iterator) pages.push(page.map(each => Number(each.id)));
  results.queryIterator = pages;
  const searched = [];
  const searches = await client.searchIterator({ ...search, limit: 10, batchSize: 4 });
  for await (const page of searches) searched.push(page.map(hit => Number(hit.id)));
  results.searchIterator = searched;
  const index = await client.describeIndex({ collection_name: name, index_name: 'words_index' });
  results.index = index.index_descriptions.map(each => [each.index_name, each.field_name, each.state]);
  const bad = await client.query({ collection_name: name, filter: 'id >', output_fields: ['id'] });
  results.badExpression = [bad.status.code, bad.status.error_code];
  const inserted = await client.insert({ collection_name: name, data: [row(90)] });
  results.insert = [inserted.status.code, inserted.status.reason];
  const deleted = await client.delete({ collection_name: name, ids: [1] });
  results.delete = [deleted.status.code, deleted.status.reason];
  await client.createAlias({ collection_name: name, alias: 'node_alias' });
  results.aliases = (await client.listAliases({ collection_name: name })).aliases;
  results.alias = (await client.describeAlias({ collection_name: name, alias: 'node_alias' })).collection;
  results.dropAlias = ok(await client.dropAlias({ alias: 'node_alias' }));
  results.databases = (await client.listDatabases()).db_names;
  results.users = Array.isArray((await client.listUsers()).usernames);
  results.flush = ok(await client.flushSync({ collection_names: [name] }));
  results.compact = ok(await client.compact({ collection_name: name }));
}

async function readOverHttp(http) {
  results.httpDescribe = (await http.describeCollection({ collectionName: name })).data.load;
  results.httpHas = (await http.hasCollection({ collectionName: name })).data.has;
  results.httpList = (await http.listCollections()).data.includes(name);
  const query = { collectionName: name, filter: 'id in [3, 12]', outputFields: ['title', 'note'] };
  results.httpQuery = (await http.query(query)).data;
  results.httpGet = (await http.get({ collectionName: name, id: [4], outputFields: ['title'] })).data;
  const search = { collectionName: name, data: [[0.2, 0, 0, 0]], annsField: 'vector', limit: 2 };
  results.httpSearch = (await http.search({ ...search, outputFields: ['title'] })).data;
  const hybrid = {
    collectionName: name,
    search: [search, { data: [{ 1: 1 }], annsField: 'words', limit: 2 }],
    rerank: { strategy: 'rrf', params: { k: 60 } },
    limit: 2,
    outputFields: ['title'],
  };
  results.httpHybrid = (await http.hybridSearch(hybrid)).data.map(hit => hit.id);
  results.httpStatistics = (await http.getCollectionStatistics({ collectionName: name })).data.rowCount;
  results.httpLoadState = (await http.getCollectionLoadState({ collectionName: name })).data.loadState;
  results.httpIndexes = (await http.listIndexes({ collectionName: name })).data.sort();
  const insert = await http.insert({ collectionName: name, data: [row(90)] });
  results.httpInsert = [insert.code, insert.message];
}

async function main() {
  const client = new MilvusClient({ address: url.replace('http://', ''), token: key });
  await client.connectPromise;
  const http = new HttpClient({ endpoint: url, token: key });
  fs.mkdirSync(folder, { recursive: true });
  await overGrpc(client);
  await importOverHttp(http);
  await readOverGrpc(client);
  await readOverHttp(http);
  results.drop = ok(await client.dropCollection({ collection_name: name }));
  await client.closeConnection();
  console.log(JSON.stringify(results));
}

main().catch(error => {
  console.error(error);
  process.exit(1);
});
