//! Services that speak OpenAI's HTTP interface.
