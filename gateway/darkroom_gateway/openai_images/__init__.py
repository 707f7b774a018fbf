"""`/v1/images`: picture generations and edits in the form of OpenAI's API. See docs/openai.md."""
