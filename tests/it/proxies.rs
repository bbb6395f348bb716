//! Proxies from the environment and on the agent.
