// Python of the tests that load an export into Milvus Lite.

/**
 * Creates the collection of fields.json with the rows of the files. Arguments: the folder of the
 * export, and the database; defines `client` and `made`.
 */
export const MILVUS_COLLECTION: string = `import pyarrow.dataset as ds
from pymilvus import MilvusClient, DataType
client = MilvusClient(sys.argv[2])
made = json.load(open(sys.argv[1] + "/fields.json"))
schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
for field in made["fields"]:
    schema.add_field(field.pop("name"), DataType[field.pop("type")], **field)
index = client.prepare_index_params()
index.add_index("embedding", index_type="FLAT", metric_type="L2")
client.create_collection(made["collection"], schema=schema, index_params=index)
client.insert(made["collection"], ds.dataset(sys.argv[1] + "/data").to_table().to_pylist())
`
