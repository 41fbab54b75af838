"""Writes tests/goldens/schedulers.json: timesteps, noise and steps of diffusers' schedulers.

    pip install torch==2.9.1 diffusers==0.39.0 scipy
    python tests/goldens/make_schedulers.py

Latents begin as numbers from -1 to 1; the model finds half of what it reads, plus a tenth. Two elements are kept of each step.
"""

import json
import pathlib

import diffusers
import numpy as np
import torch

OUT = pathlib.Path(__file__).parent / "schedulers.json"
SD = dict(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
ELEMENTS = [3, 20]
COUNTS = [1, 2, 5, 16]
LONG = [1, 2, 3, 4, 7, 8, 14, 15, 30, 50]

SPACINGS = [dict(timestep_spacing=spacing, steps_offset=1) for spacing in ("linspace", "leading", "trailing")]
FALLS = [{f"use_{kind}_sigmas": True} for kind in ("karras", "exponential", "beta")]
V = dict(prediction_type="v_prediction")
SAMPLE = dict(prediction_type="sample")
ZERO = dict(rescale_betas_zero_snr=True, timestep_spacing="trailing", prediction_type="v_prediction")
THRESHOLD = dict(thresholding=True, dynamic_thresholding_ratio=0.9, sample_max_value=2.0)
COSINE = dict(beta_schedule="squaredcos_cap_v2")

CASES = {
    "EulerDiscreteScheduler": [{}, V, SAMPLE, *SPACINGS, *FALLS, ZERO, COSINE, dict(final_sigmas_type="sigma_min"), dict(interpolation_type="log_linear"), dict(use_karras_sigmas=True, sigma_min=0.1, sigma_max=10.0)],
    "EulerAncestralDiscreteScheduler": [{}, V, *SPACINGS],
    "HeunDiscreteScheduler": [{}, V, SAMPLE, *SPACINGS, *FALLS, dict(clip_sample=True), dict(beta_schedule="exp")],
    "LMSDiscreteScheduler": [{}, V, SAMPLE, *SPACINGS, *FALLS],
    "DDIMScheduler": [{}, dict(clip_sample=False, set_alpha_to_one=False, steps_offset=1), {**V, "clip_sample": False}, {**SAMPLE, "clip_sample": False}, *SPACINGS, {**ZERO, "clip_sample": False}, THRESHOLD, dict(eta=0.7), COSINE, dict(clip_sample_range=2.0)],
    "DDPMScheduler": [{}, dict(clip_sample=False), {**V, "clip_sample": False}, {**SAMPLE, "clip_sample": False}, *SPACINGS, THRESHOLD, dict(variance_type="fixed_large"), dict(beta_schedule="sigmoid")],
    "PNDMScheduler": [{}, dict(skip_prk_steps=True, steps_offset=1), dict(skip_prk_steps=True, set_alpha_to_one=True), {**V, "skip_prk_steps": True}, *[{**spacing, "skip_prk_steps": True} for spacing in SPACINGS]],
    "LCMScheduler": [{}, V, SAMPLE, THRESHOLD, dict(clip_sample=True), dict(timestep_scaling=5.0, original_inference_steps=100)],
    "TCDScheduler": [{}, V, SAMPLE, dict(eta=0.0), dict(eta=1.0)],
    "DPMSolverMultistepScheduler": [
        {}, V, SAMPLE, *SPACINGS, *FALLS, dict(use_lu_lambdas=True), {**COSINE, "use_karras_sigmas": True}, THRESHOLD,
        dict(solver_order=1), dict(solver_order=3), dict(solver_type="heun"), dict(solver_order=3, lower_order_final=False), dict(euler_at_final=True),
        dict(algorithm_type="sde-dpmsolver++"), dict(algorithm_type="sde-dpmsolver++", solver_type="heun"), dict(algorithm_type="sde-dpmsolver++", solver_order=3),
        dict(algorithm_type="dpmsolver", final_sigmas_type="sigma_min"), dict(algorithm_type="dpmsolver", final_sigmas_type="sigma_min", solver_order=3), dict(algorithm_type="dpmsolver", final_sigmas_type="sigma_min", solver_type="heun"),
        dict(algorithm_type="sde-dpmsolver", final_sigmas_type="sigma_min"), dict(final_sigmas_type="sigma_min"), dict(lambda_min_clipped=-5.1), ZERO,
        dict(use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0),
    ],
    "DPMSolverSinglestepScheduler": [{}, V, SAMPLE, *FALLS, dict(solver_order=1), dict(solver_order=3), dict(solver_type="heun"), dict(solver_order=3, solver_type="heun"), dict(algorithm_type="sde-dpmsolver++"), dict(algorithm_type="dpmsolver", final_sigmas_type="sigma_min"), THRESHOLD],
    "UniPCMultistepScheduler": [{}, V, SAMPLE, *SPACINGS, *FALLS, dict(solver_order=1), dict(solver_order=3), dict(solver_type="bh1"), dict(predict_x0=False, final_sigmas_type="sigma_min"), dict(disable_corrector=[0, 2]), THRESHOLD, dict(final_sigmas_type="sigma_min"), ZERO],
    "FlowMatchEulerDiscreteScheduler": [
        {}, dict(shift=3.0), dict(ours="even"), dict(shift=3.0, ours="even"), dict(use_dynamic_shifting=True, mu=1.15, ours="even"), dict(use_dynamic_shifting=True, mu=0.63),
        dict(use_dynamic_shifting=True, time_shift_type="linear", mu=1.15, ours="even"), dict(shift=3.0, shift_terminal=0.1), *FALLS, dict(invert_sigmas=True), dict(stochastic_sampling=True),
    ],
}


def rounded(numbers):
    return [float(f"{float(number):.6g}") for number in numbers]


def run(name, options, count):
    options = dict(options)
    eta, mu, even = options.pop("eta", None), options.pop("mu", None), options.pop("ours", None)
    base = {} if name.startswith("Flow") else SD
    scheduler = getattr(diffusers, name)(**{**base, **options})
    if name.startswith("Flow"):
        sigmas = np.linspace(1, 1 / count, count) if even else None
        scheduler.set_timesteps(None if even else count, sigmas=sigmas, mu=mu)
    else:
        scheduler.set_timesteps(count)
    x = torch.linspace(-1, 1, 32).reshape(1, 2, 4, 4)
    noised = None
    if hasattr(scheduler, "set_begin_index") and len(scheduler.timesteps) > 1:
        scheduler.set_begin_index(1)
        noise = torch.linspace(2, -2, 32).reshape(1, 2, 4, 4)
        add = scheduler.scale_noise if name.startswith("Flow") else scheduler.add_noise
        noised = rounded(add(x, scheduler.timesteps[1:2], noise).flatten()[ELEMENTS] if name.startswith("Flow") else add(x, noise, scheduler.timesteps[1:2]).flatten()[ELEMENTS])
        scheduler._begin_index = None
    init = float(getattr(scheduler, "init_noise_sigma", 1.0))
    x = x * init
    generator = torch.Generator().manual_seed(0)
    steps = []
    for timestep in scheduler.timesteps:
        read = scheduler.scale_model_input(x, timestep) if hasattr(scheduler, "scale_model_input") else x
        arguments = {} if eta is None else {"eta": eta}
        found = 0.5 * read + 0.1
        try:
            x = scheduler.step(found, timestep, x, generator=generator, **arguments).prev_sample
        except TypeError:
            x = scheduler.step(found, timestep, x, **arguments).prev_sample
        steps.append(rounded(x.flatten()[ELEMENTS]))
    sigmas = rounded(scheduler.sigmas) if hasattr(scheduler, "sigmas") and not name.startswith("DDIM") else []
    return {
        "count": count,
        "timesteps": rounded(scheduler.timesteps),
        "sigmas": sigmas,
        "init": float(f"{init:.6g}"),
        "noised": noised,
        "steps": steps,
        "next": float(f"{float(torch.rand(1, generator=generator)):.6g}"),
    }


def main():
    cases = []
    for name, variants in CASES.items():
        for number, options in enumerate(variants):
            runs = []
            for count in LONG if number == 0 else COUNTS:
                try:
                    made = run(name, options, count)
                except Exception as error:
                    print(name, options, count, type(error).__name__, str(error)[:100])
                    continue
                if all(np.isfinite(step).all() for step in made["steps"]):
                    runs.append(made)
                else:
                    print(name, options, count, "is not finite")
            config = {**({} if name.startswith("Flow") else SD), **options}
            extra = {key: config.pop(key) for key in ("eta", "mu", "ours") if key in config}
            cases.append({"kind": name, "config": config, **extra, "runs": runs})
    made_with = {"diffusers": diffusers.__version__, "torch": torch.__version__.split("+")[0]}
    OUT.write_text(json.dumps({**made_with, "cases": cases}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
