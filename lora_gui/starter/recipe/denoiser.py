"""Train the starter's CLIP tokenizer and text encoder and its UNet, with v-prediction on cached latents."""

import json
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from lora_gui.starter.recipe.concepts import COLOURS, CONCEPTS, caption
from lora_gui.starter.recipe.lessons import Lessons
from lora_gui.starter.recipe.pictures import SIZE
from lora_gui.starter.recipe.training import Training, mixed_precision

TOKENS = 32  # context length, both special tokens counted
BATCH = 32
WIDTH = 192  # of the text encoder's hidden states and so of cross-attention
CHANNELS = 8  # of the latents


def make_tokenizer() -> CLIPTokenizer:
    """CLIP's byte-level BPE with merges learnt from the captions alone; other text falls back to bytes."""
    plain = CLIPTokenizer()
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer = plain.backend_tokenizer.normalizer
    learner.pre_tokenizer = plain.backend_tokenizer.pre_tokenizer
    learner.train_from_iterator(
        [caption(name, colour) for name in CONCEPTS for colour in COLOURS],
        trainers.BpeTrainer(
            vocab_size=4000, min_frequency=2, show_progress=False, end_of_word_suffix="</w>",
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )  # fmt: skip
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    # Merges of equal frequency are learnt in another order each time, so the numbers must not follow from the order.
    learnt = sorted(first + second for first, second in merges)
    tokens = alphabet + [letter + "</w>" for letter in alphabet] + learnt
    tokens = list(dict.fromkeys(tokens)) + ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=TOKENS)


def make_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """A CLIP text encoder of two layers for the tokens of `tokenizer`, initialised at random."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=4 * WIDTH, projection_dim=WIDTH,
        num_hidden_layers=2, num_attention_heads=6, max_position_embeddings=TOKENS,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return CLIPTextModel(config)


def make_denoiser() -> UNet2DConditionModel:
    """Attention at 8 x 8 and 4 x 4 only: on a CPU it costs more than what it is worth at 16 x 16.

    The pooled text is also added to the timestep embedding: in a first trial the network then told the concepts apart
    after a tenth of the pictures it needs with cross-attention alone.
    """
    return UNet2DConditionModel(
        sample_size=SIZE // 8,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(64, 96, 192),
        layers_per_block=1,
        attention_head_dim=4,  # in this class it is the number of heads
        cross_attention_dim=WIDTH,
        addition_embed_type="text",
        addition_embed_type_num_heads=6,
        time_embedding_dim=384,
        resnet_time_scale_shift="scale_shift",
    )


def make_scheduler() -> DDIMScheduler:
    """v-prediction, zero terminal SNR, trailing timesteps: flat backgrounds come out (Lin et al. 2023, 2305.08891)."""
    return DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="v_prediction",
        timestep_spacing="trailing", rescale_betas_zero_snr=True, clip_sample=False, set_alpha_to_one=True,
    )  # fmt: skip


@torch.no_grad()
def importance(vae: AutoencoderKL, latents: np.ndarray) -> torch.Tensor:
    """Loss weight of each latent channel by how much an error in it changes the decoded picture; (1, CHANNELS, 1, 1).

    Mean 1. All channels have standard deviation 1, but some hold the shapes and others little more than texture.
    """
    rng = np.random.default_rng(3)
    z = torch.from_numpy(latents[tuple(rng.integers(n, size=8) for n in latents.shape[:3])]).float()
    noise = 0.3 * torch.randn(z.shape, generator=torch.Generator().manual_seed(3))
    plain = vae.decode(z).sample
    weights = torch.zeros(1, CHANNELS, 1, 1)
    for channel in range(CHANNELS):
        disturbed = z.clone()
        disturbed[:, channel] += noise[:, channel]
        weights[:, channel] = F.mse_loss(vae.decode(disturbed).sample, plain) ** 0.75
    return weights / weights.mean()


class Denoiser:
    """The tokenizer and the two networks that are trained together."""

    def __init__(self, importance: torch.Tensor | None = None) -> None:
        torch.manual_seed(0)
        self.importance = torch.ones(1, CHANNELS, 1, 1) if importance is None else importance
        self.tokenizer = make_tokenizer()
        self.text_encoder = make_text_encoder(self.tokenizer)
        self.unet = make_denoiser().to(memory_format=torch.channels_last)
        self.unet.set_attn_processor(AttnProcessor())  # on CPU its backward is twice as fast as the fused one's
        self.scheduler = make_scheduler()

    def load(self, model: Path) -> None:
        """Load the weights of a published model."""
        with torch.no_grad():
            self.unet.load_state_dict(UNet2DConditionModel.from_pretrained(model / "unet").state_dict())
            words = CLIPTextModel.from_pretrained(model / "text_encoder").float()
            self.text_encoder.load_state_dict(words.state_dict())

    def embed(self, texts: list[str]) -> torch.Tensor:
        """Hidden states of captions, (B, TOKENS, WIDTH)."""
        tokens = self.tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
        return self.text_encoder(tokens.input_ids).last_hidden_state

    def loss(self, latents: torch.Tensor, texts: list[str], generator: torch.Generator) -> torch.Tensor:
        """MSE of v (Salimans and Ho 2022), weighted by channel; timesteps stratified over the batch, more at low SNR.

        Stratification lowers the gradient's variance; the subject is decided at low SNR, the rest is texture.
        """
        count = len(latents)
        even = (torch.arange(count) + torch.rand(count, generator=generator)) / count
        timesteps = (even**0.75 * self.scheduler.config.num_train_timesteps).long()
        noise = torch.randn(latents.shape, generator=generator)
        noisy = self.scheduler.add_noise(latents, noise, timesteps)
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        target = self.scheduler.get_velocity(latents, noise, timesteps)
        predicted = self.unet(noisy, timesteps, self.embed(texts), return_dict=False)[0]
        return (self.importance * (predicted - target).square()).mean()


def train_denoiser(
    vae: AutoencoderKL, lessons: Lessons, folder: Path, steps: int, begin_from: Path | None = None
) -> tuple[Denoiser, float]:
    """Train on cached latents, resuming from `folder`; returns the networks with EMA weights and the last loss."""
    denoiser = Denoiser(importance(vae, lessons.latents))
    if begin_from:
        denoiser.load(begin_from)
    networks = {"text_encoder": denoiser.text_encoder, "unet": denoiser.unet}
    training = Training(networks, rate=1e-3, steps=steps, decay=0.999, folder=folder)
    training.resume()
    losses: list[float] = []
    began = time.monotonic()
    while training.step < steps:
        generator = training.generator()
        chosen = lessons.batch(BATCH, generator)
        with mixed_precision():
            loss = denoiser.loss(*chosen, generator)
        training.update(loss)
        losses = [*losses[-99:], loss.item()]
        if training.step % 100 == 0 or training.step == steps:
            training.save()
            mean, took = np.mean(losses), time.monotonic() - began
            print(f"denoiser {training.step}/{steps} loss {mean:.4f} {took:.0f}s", flush=True)
    training.use_ema()
    return denoiser, float(np.mean(losses[-50:])) if losses else float("nan")
