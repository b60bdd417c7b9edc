// Package openai reads requests to the OpenAI API and what compatible servers add to it, follows its answers, and writes
// refusals in its form.
package openai
