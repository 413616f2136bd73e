"""What vLLM's workers load: the extension, and on a CPU the mend of seeded draws."""

from vllm.platforms import current_platform

from server.engines.plugins.worker import ReloadExtension, without_unread

__all__ = ["ReloadExtension"]

if current_platform.is_cpu():
    from vllm.v1.worker.cpu_model_runner import CPUModelRunner

    CPUModelRunner.sample_tokens = without_unread(CPUModelRunner.sample_tokens)
