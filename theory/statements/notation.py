"""Every symbol of the theory, once, with its assumptions, its LaTeX, its meaning and its unit."""

from typing import Any, NamedTuple

import sympy as sp


class Entry(NamedTuple):
    """A symbol and what it stands for."""

    symbol: Any
    latex: str
    meaning: str
    unit: str


ENTRIES: dict[str, Entry] = {}


def _symbol(name: str, latex: str, meaning: str, unit: str = "–", **assumptions: bool) -> Any:
    symbol = sp.Symbol(name, **assumptions)
    ENTRIES[name] = Entry(symbol, latex, meaning, unit)
    return symbol


def _indexed(name: str, latex: str, meaning: str, unit: str = "–", **assumptions: bool) -> Any:
    symbol = sp.IndexedBase(name, **assumptions)
    ENTRIES[name] = Entry(symbol, latex, meaning, unit)
    return symbol


_P: dict[str, Any] = {"positive": True}
_NN: dict[str, Any] = {"nonnegative": True}
_R: dict[str, Any] = {"real": True}
_N: dict[str, Any] = {"integer": True, "positive": True}
PU, PU2 = "parameter units", "parameter units²"

# the run and its window
P = _symbol("P", "P", "parameters", **_N)
W = _symbol("W", "W", "window, the number of last updates looked at", **_N)
B = _symbol("B", "B", "batch size", **_P)
eta = _symbol("eta", r"\eta", "learning rate", "per step", **_P)
omega = _symbol("omega", r"\omega", "decoupled weight decay", **_NN)
t = _symbol("t", "t", "time", "steps", **_NN)
j = _symbol("j", "j", "mode, or position in the spectrum", **_N)
k = _symbol("k", "k", "size of a leading subspace", **_N)
k_star = _symbol("k_star", r"k^\star", "gap position", **_N)

# spectrum (1)
sigma_k = _symbol("sigma_k", r"\sigma_{k^\star}", "singular value at the gap position", PU, **_P)
sigma_k1 = _symbol("sigma_k1", r"\sigma_{k^\star+1}", "singular value below the gap", PU, **_P)
sigma_j = _symbol("sigma_j", r"\sigma_j", "any singular value above the rank tolerance", PU, **_P)
sigma_j1 = _symbol("sigma_j1", r"\sigma_{j+1}", "the one below it", PU, **_P)
sigma_W = _symbol("sigma_W", r"\sigma_W", "smallest singular value of the window", PU, **_P)
R = _symbol("R", "R", "gap ratio", **_P)

# detection (2)
nu = _symbol("nu", r"\nu", "noise per entry", PU, **_P)
d_crit = _symbol("d_crit", r"d_{\mathrm{crit}}", "detection threshold", PU, **_P)
d = _symbol("d", "d", "signal strength", PU, **_P)
theta = _symbol("theta", r"\theta", "signal strength over the noise floor, d/(ν√P)", **_P)
aspect = _symbol("aspect", "c", "aspect ratio W/P (section 2)", **_P)
sigma_obs = _symbol(
    "sigma_obs", r"\sigma_{\mathrm{obs}}", "observed singular value of a planted one", PU, **_P
)
overlap_u = _symbol("overlap_u", r"\langle u,\hat u\rangle^2", "window-space overlap", **_NN)
overlap_v = _symbol("overlap_v", r"\langle v,\hat v\rangle^2", "parameter-space overlap", **_NN)
floor_ratio = _symbol("floor_ratio", r"\sigma_W/d_{\mathrm{crit}}", "weakest value over threshold", **_P)
lam_W = _symbol("lam_W", r"\lambda_W", "smallest eigenvalue of the window", PU2, **_NN)
lam_half = _symbol(
    "lam_half", r"\overline{\lambda_{j>W/2}}", "mean of the lower half of the eigenvalues", PU2, **_P
)
b_W = _symbol("b_W", "b_W", "bias constant of the lower-half estimate of ν²", **_P)
d2_shift = _symbol("d2_shift", r"\Delta d^2", "shift of d² by a biased ν²", PU2, **_R)
P_eff = _symbol("P_eff", r"P_{\mathrm{eff}}", "effective dimension of the noise", **_P)
spread = _symbol("spread", r"\mathrm{sd}\,G_{st}/\mathrm{tr}\,\Sigma", "spread of an entry of G", **_P)
v = _symbol("v", "v", "2R/(1 + R²) of a window of two updates", **_P)
null_cdf = _symbol("null_cdf", r"\Pr(V\le v)", "distribution function of V under white noise", **_NN)
g_1 = _symbol("g_1", "g_1", "a GOE eigenvalue", **_R)
g_2 = _symbol("g_2", "g_2", "the next GOE eigenvalue", **_R)
log_ratio = _symbol("log_ratio", r"2\sqrt P\,\ln R", "scaled log ratio", **_R)
tau = _symbol("tau", r"\tau", "autocorrelation of the noise at the lag of the pair", **_R)
entry_variance = _symbol("entry_variance", r"\mathrm{Var}\,G_{st}/(\nu^2P)", "variance of an entry", **_NN)

# flow (3)
h_j = _symbol("h_j", "h_j", "curvature of the loss along v_j", "1/η scale", **_R)
p_j = _symbol("p_j", "p_j", "gradient power on mode j (effective source strength)", "PU²/step²", **_NN)
h_k = _symbol("h_k", "h_k", "curvature of mode k", "1/η scale", **_R)
h_k1 = _symbol("h_k1", "h_{k+1}", "curvature of mode k + 1", "1/η scale", **_R)
p_k = _symbol("p_k", "p_k", "gradient power on mode k", "PU²/step²", **_NN)
p_k1 = _symbol("p_k1", "p_{k+1}", "gradient power on mode k + 1", "PU²/step²", **_NN)
d_j = _symbol("d_j", "d_j", "signal strength of mode j", PU, **_P)
d_dot = _symbol("d_dot", r"\dot d_j", "its rate of change", "PU/step", **_R)
u_j = _symbol("u_j", "u_j", "d_j²", PU2, **_NN)
u_dot = _symbol("u_dot", r"\dot u_j", "its rate of change", "PU²/step", **_R)
u_0 = _symbol("u_0", "u_j(0)", "d_j² at the start", PU2, **_NN)
u_t = _symbol("u_t", "u_j(t)", "d_j² at time t", PU2, **_NN)
u_star = _symbol("u_star", r"u_j^\star", "stationary value of d_j²", PU2, **_NN)
d_star = _symbol("d_star", r"d_j^\star", "stationary strength", PU, **_NN)
kappa = _symbol("kappa", r"\kappa", "damping rate η(h + ω)", "per step", **_P)
kappa_k = _symbol("kappa_k", r"\kappa_k", "damping rate of mode k", "per step", **_R)
kappa_k1 = _symbol("kappa_k1", r"\kappa_{k+1}", "damping rate of mode k + 1", "per step", **_R)
rate = _symbol("rate", r"\partial\dot d_j/\partial d_j", "slope of the flow at rest", "per step", **_R)
g = _symbol("g", "g", "amplitude gap d_k − d_{k+1}", PU, **_R)
g_dot = _symbol("g_dot", r"\dot g", "its rate of change", "PU/step", **_R)
g_0 = _symbol("g_0", "g_0", "gap at the start", PU, **_P)
g_star = _symbol("g_star", r"g^\star", "equilibrium gap", PU, **_R)
d_bar = _symbol("d_bar", r"\bar d", "mean strength of modes k and k + 1", PU, **_P)
d_bar_dot = _symbol("d_bar_dot", r"\dot{\bar d}", "its rate of change", "PU/step", **_R)
d_bar_star = _symbol("d_bar_star", r"\bar d^\star", "mean stationary strength", PU, **_P)
drive = _symbol("drive", "c", "drive of the gap at g = 0 (sections 3 and 7)", "PU/step", **_R)
kappa_eff = _symbol(
    "kappa_eff", r"\kappa_{\mathrm{eff}}", "damping of the gap to first order", "per step", **_R
)
damping_ratio = _symbol("damping_ratio", r"\kappa_{\mathrm{eff}}/\kappa", "first-order over frozen", **_P)
frozen_ratio = _symbol("frozen_ratio", r"c/(\kappa g^\star)", "frozen over exact equilibrium gap", **_R)
t_c = _symbol("t_c", "t_c", "collapse time", "steps", **_P)
t_m = _symbol("t_m", "t_m", "time of the extremum of u_k − u_{k+1}", "steps", **_R)
Delta = _symbol("Delta", r"\Delta", "u_k(0) − u_{k+1}(0)", PU2, **_R)
D = _symbol("D", "D", "ηW(p_{k+1} − p_k)", "PU²/step", **_R)
r_k = _symbol("r_k", "r_k", "rate of change of u_k at the start", "PU²/step", **_R)
r_k1 = _symbol("r_k1", "r_{k+1}", "rate of change of u_{k+1} at the start", "PU²/step", **_R)
crossings = _symbol(
    "crossings", r"\#\{t>0:u_k=u_{k+1}\}", "number of crossings", integer=True, nonnegative=True
)
fraction = _symbol("fraction", "f", "stated fraction of g*", **_P)
g_t = _symbol("g_t", "g(t)", "gap at time t", PU, **_R)

# Dyson (4)
lam_k = _symbol("lam_k", r"\lambda_k", "eigenvalue of the window", PU2, **_P)
lam_k1 = _symbol("lam_k1", r"\lambda_{k+1}", "the next one", PU2, **_P)
d_i = _symbol("d_i", "d_i", "another singular value", PU, **_P)
drift_pair = _symbol(
    "drift_pair", r"\mathrm{drift}_{ij}", "drift of d_j from the pair (i, j)", "PU/step", **_R
)
density = _symbol("density", r"\rho(g)/g", "density of a small gap over the gap", "–", **_R)
trace_dot = _symbol(
    "trace_dot", r"\frac{d}{dt}\mathbb{E}\sum_j d_j^2", "drift of the trace", "PU²/step", **_R
)
gap_push = _symbol("gap_push", r"d(\lambda_k-\lambda_{k+1})", "second-order push on a gap", PU2, **_R)
coupling = _symbol("coupling", r"v_k^\top\Delta C\,v_{k+1}", "coupling of two modes", PU2, **_R)
coupling_rate = _symbol(
    "coupling_rate", r"d\langle u_k^\top G u_{k+1}\rangle/dt", "its variation", "PU⁴/step", **_P
)

# stability (5)
a = _symbol("a", "a", "K_{t+1,t+1}, squared norm of the update that enters", PU2, **_NN)
b = _symbol("b", "b", "K_{t−W+1,t−W+1}, squared norm of the update that leaves", PU2, **_NN)
c = _symbol("c", "c", "K_{t+1,t−W+1}, their inner product", PU2, **_R)
frobenius = _symbol("frobenius", r"\|\Delta C\|_F", "Frobenius norm of the change", PU2, **_NN)
operator = _symbol("operator", r"\|\Delta C\|_{\mathrm{op}}", "operator norm of the change", PU2, **_NN)
eigen_change = _symbol(
    "eigen_change", r"\sum_j(\Delta\lambda_j)^2", "squared change of eigenvalues", "PU⁴", **_NN
)
trace_change = _symbol("trace_change", r"\sum_j\Delta\lambda_j", "change of the trace", PU2, **_R)
gap_j = _symbol("gap_j", r"\mathrm{gap}_j", "distance of λ_j to the rest of the spectrum of C", PU2, **_P)
alpha_j = _symbol("alpha_j", r"\alpha_j", "stability coefficient", **_NN)
C_alpha = _symbol("C_alpha", "C", "its constant", **_P)
overlap_j = _symbol("overlap_j", r"\langle v_j,v_j'\rangle^2", "squared overlap with the next window", **_NN)
s_width = _symbol("s_width", "s", "spread √((a + b)² − 4c²) of the eigenvalues of ΔC", PU2, **_NN)
adiabatic = _symbol("adiabatic", r"\mathcal{A}", "adiabatic parameter", **_NN)
overlap_jl = _symbol("overlap_jl", r"\langle v_j,v_l'\rangle", "overlap of two modes", **_R)
bilinear = _symbol("bilinear", r"u_j^\top K_{t,t+1}u_l'", "bilinear form of K", PU2, **_R)
sigma_l = _symbol("sigma_l", r"\sigma_l'", "singular value of the next window", PU, **_P)

# loss (6)
G_train = _indexed("G_train", r"G^{\mathrm{train}}", "⟨∇L_train, v_j⟩", "loss/PU", **_R)
G_val = _indexed("G_val", r"G^{\mathrm{val}}", "⟨∇L_val, v_j⟩", "loss/PU", **_R)
alpha = _indexed("alpha", r"\alpha", "stability coefficients", **_NN)
descent = _symbol("descent", r"-\dot L_{\mathrm{val}}", "descent of the validation loss", "loss/step", **_R)
outside = _symbol(
    "outside", r"\langle(I-\Pi)\nabla L_{\mathrm{train}},(I-\Pi)\nabla L_{\mathrm{val}}\rangle",
    "what the modes leave of the product of gradients", "loss²/PU²", **_R,
)  # fmt: skip
norm_train = _symbol(
    "norm_train", r"\|(I-\Pi)\nabla L_{\mathrm{train}}\|", "gradient outside the modes", "loss/PU", **_NN
)
norm_val = _symbol(
    "norm_val", r"\|(I-\Pi)\nabla L_{\mathrm{val}}\|", "the same for validation", "loss/PU", **_NN
)
importance = _symbol("importance", r"\mathrm{importance}_j", "importance of mode j", "loss²/PU²", **_R)
Gt_j = _symbol("Gt_j", r"G_j^{\mathrm{train}}", "training gradient along mode j", "loss/PU", **_R)
Gv_j = _symbol("Gv_j", r"G_j^{\mathrm{val}}", "validation gradient along mode j", "loss/PU", **_R)

# maximality (7)
conv_rate = _symbol("conv_rate", r"\rho_j", "rate of subspace iteration, per step", **_P)
subspace = _symbol("subspace", r"\|\Pi_k-\Pi_k'\|_F", "distance of leading subspaces", **_NN)
shared = _symbol("shared", r"\sum_{j,l\le k}\langle v_j,v_l'\rangle^2", "shared squared overlap", **_NN)
b_fb = _symbol("b_fb", "b", "strength of the α-feedback", "PU/step", **_P)
eps = _symbol("eps", r"\varepsilon", "perturbation scale", PU, **_P)
eps_c = _symbol("eps_c", r"\varepsilon_c", "its critical value", PU, **_P)
g_sn = _symbol("g_sn", r"g_{\mathrm{sn}}", "gap at the saddle-node", PU, **_P)
T_pass = _symbol("T_pass", "T", "passage time", "steps", **_P)

# claims (8) and trajectories (9)
K_fast = _symbol("K_fast", "K", "number of fast modes, h_j ≥ 1/(ηW)", integer=True, nonnegative=True)
beta = _symbol("beta", r"\beta", "bound on σ_{K+2} without noise", PU, **_NN)
noise_norm = _symbol("noise_norm", r"\|N\|_{\mathrm{op}}", "operator norm of the noise", PU, **_NN)
x = _indexed("x", r"x", "slow modes: ηh_j⟨δ_first, e_j⟩", PU, **_R)
n_slow = _symbol("n_slow", "n", "number of slow modes", **_N)
dims = _symbol("dims", "d", "dimensions kept by a projection", **_P)
log_error = _symbol("log_error", r"\mathrm{sd}\,\ln\hat R", "spread of the projected log ratio", **_P)
K_st = _symbol("K_st", r"\mathbb{E}K_{st}", "mean inner product of two updates", PU2, **_R)
s_s = _symbol("s_s", "s_j(s)", "amplitude of signal j at time s", PU, **_R)
s_t = _symbol("s_t", "s_j(t)", "amplitude of signal j at time t", PU, **_R)
same = _symbol("same", r"\delta_{st}", "1 where s = t, else 0", **_NN)
m = _symbol("m", "m", "dimension of the span of the noise vectors kept", integer=True, nonnegative=True)
k_sig = _symbol("k_sig", "k", "number of planted directions", integer=True, nonnegative=True)
residual = _symbol("residual", r"\mathbb{E}\rho^2", "mean squared residual of a new noise vector", PU2, **_P)

R_null = _symbol("R_null", r"R_{0.99}", "99 % quantile of R under the null", **_P)
R_limit = _symbol("R_limit", r"\lim_{P\to\infty}R", "ratio of noise alone as P → ∞", **_P)
others = _indexed("others", r"d", "the other singular values", PU, **_P)
sum_sq = _symbol("sum_sq", r"\sum_jd_j^2", "trace of the Gram matrix", PU2, **_P)
gram_change = _symbol("gram_change", r"\|G_{t+1}-G_t\|_F", "entrywise change of the Gram matrix", PU2, **_NN)
lam_j = _symbol("lam_j", r"\lambda_j", "eigenvalue of the window", PU2, **_NN)
lam_up = _symbol("lam_up", r"\lambda_{j-1}", "the one above it", PU2, **_NN)
lam_down = _symbol("lam_down", r"\lambda_{j+1}", "the one below it", PU2, **_NN)
lam_next = _symbol("lam_next", r"\lambda_j'", "the same eigenvalue of the next window", PU2, **_NN)
rate_change = _symbol("rate_change", r"\Lambda-\Lambda'", "change of the captured descent", "loss/step", **_R)
grad_train = _symbol(
    "grad_train", r"\|\nabla L_{\mathrm{train}}\|", "size of the training gradient", "loss/PU", **_NN
)
grad_val = _symbol(
    "grad_val", r"\|\nabla L_{\mathrm{val}}\|", "size of the validation gradient", "loss/PU", **_NN
)
leaning = _symbol(
    "leaning", r"\#\{\text{results that lean on }[P,H]\approx0\}", "count in the registry",
    integer=True, nonnegative=True,
)  # fmt: skip
sigma_K2 = _symbol("sigma_K2", r"\sigma_{K+2}", "singular value number K + 2", PU, **_NN)
slope_1 = _symbol("slope_1", r"(\ln R)^{\cdot}_1", "slope of ln R in the first phase", "per step", **_R)
slope_2 = _symbol("slope_2", r"(\ln R)^{\cdot}_2", "slope in the second", "per step", **_R)
slope_3 = _symbol("slope_3", r"(\ln R)^{\cdot}_3", "slope in the third", "per step", **_R)
t_gap = _symbol("t_gap", r"t_{\mathrm{gap}}", "time of the gap event", "steps", **_NN)
t_grok = _symbol("t_grok", r"t_{\mathrm{grok}}", "time of grokking", "steps", **_P)
k_muon = _symbol("k_muon", r"k^\star_{\mathrm{Muon}}", "modal gap position under Muon", **_N)
k_adamw = _symbol("k_adamw", r"k^\star_{\mathrm{AdamW}}", "modal gap position under AdamW", **_N)
gap_error = _symbol("gap_error", r"|\hat R/R-1|", "relative error of a projected gap ratio", **_NN)

# the rolling window itself (10)
proj = _indexed("proj", r"\langle v_j,\delta\rangle", "⟨v_j, δ_s⟩ of the updates of the window", PU, **_R)
enters = _symbol("enters", r"\langle v_j,\delta_{t+1}\rangle^2", "energy that enters mode j", PU2, **_NN)
leaves = _symbol("leaves", r"\langle v_j,\delta_{t-W+1}\rangle^2", "energy that leaves it", PU2, **_NN)
lam_change = _symbol("lam_change", r"\Delta\lambda_j", "change of λ_j, first order", PU2, **_R)
u_change = _symbol("u_change", r"\Delta u_j", "change of u_j from one window to the next", PU2, **_R)
p_enter = _symbol("p_enter", r"p_j(t+1)", "gradient power behind the update that enters", "loss²/PU²", **_NN)
p_leave = _symbol("p_leave", r"p_j(t-W+1)", "gradient power behind the one that leaves", "loss²/PU²", **_NN)
d_k = _symbol("d_k", "d_k", "strength of mode k", PU, **_P)
d_k1 = _symbol("d_k1", "d_{k+1}", "strength of mode k + 1", PU, **_P)
rel_rate = _symbol("rel_rate", r"\dot d_j/d_j", "relative rate of change of a strength", "per step", **_R)
noise_power = _symbol("noise_power", "s_j", "variance of the gradient noise along e_j", "loss²/PU²", **_NN)
var_theta = _symbol("var_theta", r"\mathrm{Var}\,\theta_j", "variance of the parameter along e_j", PU2, **_NN)
mean_u = _symbol("mean_u", r"\mathbb{E}u_j", "mean of d_j²", PU2, **_NN)
delta_next = _symbol("delta_next", r"\delta_{s+1}", "next update, any component", PU, **_R)
delta_s = _symbol("delta_s", r"\delta_s", "update, the same component", PU, **_R)
delta_prev = _symbol("delta_prev", r"\delta_{s-1}", "update before it", PU, **_R)
response = _symbol(
    "response", r"(D^{-1}H\delta_s)", "response to the update, the same component", "PU/step", **_R
)
mean_response = _symbol(
    "mean_response",
    r"(\bar H_s\delta_s)",
    "the same with the Hessian's mean along the update",
    "PU/step",
    **_R,
)
momentum = _symbol("momentum", r"\beta", "momentum, or β₁ of Adam", **_NN)
step_size = _symbol("step_size", r"\eta'", "η, for Adam η(1 − β₁)", "per step", **_P)
row_error = _symbol(
    "row_error", r"\|\hat\delta_{t+1}-\delta_{t+1}\|", "error of the first propagated row", PU, **_NN
)
outside_response = _symbol(
    "outside_response", r"\|(I-\Pi)D^{-1}H\delta_t\|", "response outside the window's span", "PU/step", **_NN
)
response_norm = _symbol("response_norm", r"\|D^{-1}H\delta_t\|", "size of the response", "PU/step", **_NN)
inside_response = _symbol("inside_response", r"\|A\,y_t\|", "size of its part in the span", "PU/step", **_NN)
z_1 = _symbol("z_1", "z_1", "root of z² = Pz − Q, the recurrence of one step")
z_2 = _symbol("z_2", "z_2", "the other root")
interval = _symbol("interval", "r", "steps from one record to the next", **_N)
block_next = _symbol("block_next", r"S_{k+1}", "sum of the updates of a record along one mode", PU)
block = _symbol("block", r"S_k", "the same one record before", PU)
block_prev = _symbol("block_prev", r"S_{k-1}", "the same two records before", PU)
fit = _symbol("fit", r"\hat b", "factor fitted to the rows of a window", "per record", **_R)
y = _indexed("y", "y", "coordinate of a row of the window", PU, **_R)
cosine = _symbol("cosine", "c", "size of the cosine of two modes' courses in time (section 10)", **_NN)
least_ratio = _symbol(
    "least_ratio", r"\min\sigma_1/\sigma_2", "smallest ratio of their singular values", **_P
)
rest = _symbol("rest", "r_j", "curvature along v_j that changed within the window", "1/η scale", **_R)
shift_form = _symbol(
    "shift_form", r"u_j^\top(K_{t+1,t}-G_t)u_j", "next rows less these, on mode j", PU2, **_R
)
source_ratio = _symbol(
    "source_ratio", r"\mathrm{source}/\mathrm{inflow}", "source of a flow over what enters", **_P
)
h_tilde = _symbol("h_tilde", r"\tilde h_j", "curvature as the optimiser sees it", "1/η scale", **_R)
form_response = _symbol(
    "form_response", r"u_j^\top[XD^{-1}HX^\top]u_j", "window response on mode j", "PU²·1/η scale", **_R
)
form_hessian = _symbol(
    "form_hessian", r"\tilde u_j^\top XHX^\top\tilde u_j", "window Hessian on mode j of XDX^T", "loss", **_R
)
form_projected = _symbol(
    "form_projected",
    r"u_j^\top(XDX^\top)^{-1}XHX^\top u_j",
    "window Hessian on mode j, by the metric",
    "1/η scale",
    **_R,
)
form_gradient = _symbol("form_gradient", r"\tilde u_j^\top X\nabla L", "gradient on it", "loss", **_R)
lam_tilde = _symbol("lam_tilde", r"\tilde\lambda_j", "eigenvalue of XDX^T", "loss·step", **_P)
G_tilde = _symbol("G_tilde", r"\tilde G_j", "gradient along its mode j", "(loss/step)^{1/2}", **_R)
tau_0 = _symbol("tau_0", r"\tau", "length of the update over that of its derivative across it", "steps", **_P)
order = _symbol("order", "i", "order of a derivative", integer=True, nonnegative=True)
length = _symbol(
    "length", r"\ell_i", "derivative i of the update, across those before it", "PU/step^{i+1}", **_NN
)
sigma_i1 = _symbol("sigma_i1", r"\sigma_{i+1}", "singular value number i + 1", PU, **_NN)

X = sp.MatrixSymbol("X", W, P)
Q = sp.MatrixSymbol("Q", P, P)
ENTRIES["X"] = Entry(X, "X", "trajectory matrix, the last W updates in its rows", PU)
ENTRIES["Q"] = Entry(Q, "Q", "orthogonal change of parameter basis", "–")

# coefficients that depend on time (3.7); functions, so not evaluated by number
kappa_of = sp.Function("kappa", real=True)
source_of = sp.Function("S", nonnegative=True)

LATEX_NAMES: dict[Any, str] = {
    entry.symbol: entry.latex for entry in ENTRIES.values() if isinstance(entry.symbol, sp.Symbol)
}
DECLARED: frozenset[Any] = frozenset(entry.symbol for entry in ENTRIES.values())
