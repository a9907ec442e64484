// Builds an ONNX graph of a BERT encoder from its weights. sentence-transformers saves only
// safetensors, and ONNX Runtime needs a graph.
//
// The weights are stored unchanged, as float16 or float32 and row-major [out, in]. Casts to
// float32, transposes and concatenations are graph nodes that ONNX Runtime computes once, when it
// loads the model.

import { createGraph, type OnnxGraph } from './onnx-graph.ts'
import type { Tensor } from './safetensors.ts'

/** The members of a BERT config.json that decide the shape of the graph. */
export interface BertConfig {
  readonly hidden_size: number
  readonly num_attention_heads: number
  readonly num_hidden_layers: number
  /** Default 1e-12. */
  readonly layer_norm_eps?: number
  readonly model_type?: string
  /** Default 'gelu'. */
  readonly hidden_act?: string
  /** Default 'absolute'. */
  readonly position_embedding_type?: string
}

/** Why `bertGraph` builds no graph for a model; undefined for a BERT encoder as published. */
export function unsupportedBert(config: BertConfig): string | undefined {
  const { model_type = 'unstated', hidden_act = 'gelu', position_embedding_type = 'absolute' } = config
  if (model_type !== 'bert') return `its architecture is ${model_type}, not bert`
  if (hidden_act !== 'gelu') return `its activation is ${hidden_act}, not gelu`
  if (position_embedding_type !== 'absolute')
    return `its positions are ${position_embedding_type}, not absolute`
  return undefined
}

/**
 * Inputs: `input_ids`, `attention_mask` and `token_type_ids`, int64 [batch, sequence]. Output:
 * `last_hidden_state`, float32 [batch, sequence, hidden].
 */
export function bertGraph(config: BertConfig, tensors: ReadonlyMap<string, Tensor>): Uint8Array {
  const graph = createGraph()
  const { node } = graph
  const weight = weightsOf(graph, tensors)
  const epsilon = { float: config.layer_norm_eps ?? 1e-12 }
  const layerNorm = (x: string, name: string): string =>
    node('LayerNormalization', [x, weight(`${name}.weight`), weight(`${name}.bias`)], {
      attributes: { axis: -1, epsilon },
    })
  const transposed = (name: string): string =>
    node('Transpose', [weight(`${name}.weight`)], { attributes: { perm: [1, 0] } })
  const linear = (x: string, name: string): string =>
    node('Add', [node('MatMul', [x, transposed(name)]), weight(`${name}.bias`)])

  const length = node('Slice', [
    node('Shape', ['input_ids']),
    graph.int64s(1),
    graph.int64s(2),
    graph.int64s(0),
  ])
  const words = node('Gather', [weight('embeddings.word_embeddings.weight'), 'input_ids'])
  const types = node('Gather', [weight('embeddings.token_type_embeddings.weight'), 'token_type_ids'])
  const positions = node('Slice', [
    weight('embeddings.position_embeddings.weight'),
    graph.int64s(0),
    length,
    graph.int64s(0),
  ])
  let x = layerNorm(node('Add', [node('Add', [words, types]), positions]), 'embeddings.LayerNorm')

  // 1 for a token, 0 for padding.
  const mask = node('Cast', ['attention_mask'], { attributes: { to: 6 } })
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const at = `encoder.layer.${layer}`
    const projections = ['query', 'key', 'value'].map(name => `${at}.attention.self.${name}`)
    // ONNX Runtime's fused attention: one multiplication for all three projections, no copies per
    // head.
    const context = node(
      'Attention',
      [
        x,
        node('Concat', projections.map(transposed), { attributes: { axis: 1 } }),
        node(
          'Concat',
          projections.map(name => weight(`${name}.bias`)),
          { attributes: { axis: 0 } },
        ),
        mask,
      ],
      { domain: 'com.microsoft', attributes: { num_heads: config.num_attention_heads } },
    )
    x = layerNorm(
      node('Add', [linear(context, `${at}.attention.output.dense`), x]),
      `${at}.attention.output.LayerNorm`,
    )
    const inner = node('Gelu', [linear(x, `${at}.intermediate.dense`)])
    x = layerNorm(node('Add', [linear(inner, `${at}.output.dense`), x]), `${at}.output.LayerNorm`)
  }
  node('Identity', [x], { output: 'last_hidden_state' })

  return graph.encode(
    ['input_ids', 'attention_mask', 'token_type_ids'].map(name => ({
      name,
      type: 'int64' as const,
      shape: ['batch', 'sequence'],
    })),
    [{ name: 'last_hidden_state', type: 'float32', shape: ['batch', 'sequence', config.hidden_size] }],
  )
}

/** Adds a named tensor to the graph as float32. Some files prefix every name with `bert.`. */
function weightsOf(graph: OnnxGraph, tensors: ReadonlyMap<string, Tensor>): (name: string) => string {
  return name => {
    const tensor = tensors.get(name) ?? tensors.get(`bert.${name}`)
    if (tensor === undefined) throw new TypeError(`the model has no tensor ${name}`)
    const value = graph.weight(tensor.type, tensor.shape, tensor.bytes)
    return tensor.type === 'float16' ? graph.node('Cast', [value], { attributes: { to: 1 } }) : value
  }
}
