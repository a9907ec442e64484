// What others use to get embeddings into JavaScript, each as its documentation shows it. All return
// arrays of numbers; what it would cost to bring those into a Float32Array is not counted
// against them.

import { PerformanceClient } from '@basetenlabs/performance-client'
import { InferenceClient } from '@huggingface/inference'
import OpenAI from 'openai'
import { texts } from './wire.ts'

export type Rows = readonly (readonly number[])[]

/** Sends the texts once. */
export type Ask = () => Promise<Rows>

export function openai(url: string): Ask {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'x', maxRetries: 0 })
  return async () => {
    const { data } = await client.embeddings.create({ model: 'bench', input: [...texts] })
    return data.map(({ embedding }) => embedding)
  }
}

export function huggingface(url: string): Ask {
  const client = new InferenceClient('hf_x', { endpointUrl: `${url}/embed` })
  return async () => (await client.featureExtraction({ inputs: [...texts] })) as number[][]
}

/**
 * Speaks h2c alone. Its base64 mode returns empty vectors (version 0.0.10), so this asks for
 * numbers.
 */
export function baseten(url: string): Ask {
  const client = new PerformanceClient(url, 'x')
  return async () => rowsOf(await client.embed([...texts], 'bench', 'float', null, null, 1, texts.length, 60))
}

/** The same, one call for all requests of a round, which it spreads itself. */
export async function basetenAtOnce(url: string, requests: number, concurrency: number): Promise<Rows> {
  const client = new PerformanceClient(url, 'x')
  const all = Array.from({ length: requests }, () => texts).flat()
  return rowsOf(await client.embed(all, 'bench', 'float', null, null, concurrency, texts.length, 60))
}

const rowsOf = (reply: { readonly data: readonly { readonly embedding: readonly number[] }[] }): Rows =>
  reply.data.map(({ embedding }) => embedding)
