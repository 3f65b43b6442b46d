"""One clue for each exercise: more than the statement, less than the solution.

`check` folds it under a verdict that is not "passed", between the evidence and the solution. It
says where to look or what to do first; the hints of the mistakes stand with the mistakes.
"""

from __future__ import annotations

CLUES: dict[str, str] = {
    "ex-intro-1": "Ask of each of the two processes: could you run it without ever having seen a "
    "picture?",
    "ex-intro-2": "Think of the way back. How many clean pictures could have led to what you see, "
    "after one small step, and after one big one?",
    "ex-intro-3": "Count the calls, not the images: the batch goes through the network together.",
    "ex-intro-4": "Which level must become 0? Find the line through (0, −1) and (255, +1); a "
    "division by a float makes floats.",
    "ex-intro-5": "Write h for the variance before and the one after, and subtract: ln a − ln b = "
    "ln(a / b).",
    "ex-intro-6": "Where is a molecule after three moves? `cumsum` along the right axis has it; "
    "the mean runs over the other axis.",
    "ex-intro-7": "`flatten(1)` makes one row of each picture; then all means and sums run over "
    "that row.",
    "ex-intro-8": "Get the two ends right first: with strength 0 nothing may change, with strength "
    "1 nothing of x0 may be used any more.",
    "ex-forward-1": "Compute the variance of x_t for data of variance 1, once with the factor and "
    "once without it.",
    "ex-forward-2": "Build the table with `linear_schedule` and look for the first entry above "
    "0.01; remember what stands in slot 0.",
    "ex-forward-3": "β is a variance. What multiplies the noise, so that it has that variance?",
    "ex-forward-4": "What does a factor c do to a variance? Square both factors of the step.",
    "ex-forward-5": "Fill slots 1 to T only; `torch.linspace` includes both ends.",
    "ex-forward-6": "Keep a list that begins with x0, and let each step start from its last "
    "element.",
    "ex-forward-7": "`schedule.beta[t]` is (B,). Which shape lines up with (B, C, H, W), so that "
    "each picture gets its own number?",
    "ex-forward-8": "Begin with ln N(x; m, v) = −(x − m)² / (2v) − ½ ln(2πv) for one dimension, "
    "then sum over D of them.",
    "ex-forward-9": "Choose the curve of √ᾱ that you want, from 1 to 0.1 or less without a steep "
    "place, and compute β from it; or let β grow by a constant factor.",
    "ex-kernel-1": "SNR = 1 says something about ᾱ alone. Which value is it, and where does the "
    "table pass it?",
    "ex-kernel-2": "Each entry is the one before, times one factor: torch has a function for "
    "running products.",
    "ex-kernel-3": "It is the step of the last chapter with another number in the place of 1 − β. "
    "Mind the shape that `schedule.alpha_bar[t]` needs.",
    "ex-kernel-4": "Put x_1 into the second step, written out with both noises, and only then "
    "square what stands before each.",
    "ex-kernel-5": "Call the SNR r = exp(log_snr), write r (1 − ᾱ) = ᾱ, and collect ᾱ.",
    "ex-kernel-6": "What does x_T know in training that pure noise does not? Seven per cent of one "
    "pixel is little; think of the mean over all of them.",
    "ex-kernel-7": "Divide neighbours in the table: by which factor do they differ?",
    "ex-kernel-8": "Use the one-dimensional formula with v = 1 − ᾱ_T and m = √ᾱ_T x_0 in each "
    "dimension. What depends on x_0 goes into `mean`, all else into `spread`.",
    "ex-kernel-9": "Write the new SNR as factor · ᾱ / (1 − ᾱ), solve it for ᾱ', and multiply out "
    "so that nothing is divided by 0 in slot 0.",
    "ex-kernel-10": "Four lines: noisy pictures by the kernel, means of the clean ones by class, "
    "`torch.cdist` between flattened pictures and means, and the share of right `argmin`s.",
    "ex-reverse-1": "Go through the factors of Bayes' rule one by one: which of them have we "
    "chosen ourselves, and which is made of all data?",
    "ex-reverse-2": "Move β slowly and read the small curve of the distance, not the shape: where "
    "does it cross 0.05?",
    "ex-reverse-3": "First take the noise away from x_t, in its right size; then undo the "
    "shrinking of what is left.",
    "ex-reverse-4": "In the exponent of the product, collect what multiplies x_{t−1}² (the "
    "precision) and what multiplies x_{t−1}; the mean is the second over the first.",
    "ex-reverse-5": "From x_s to x_t: the factor is √(ᾱ_t / ᾱ_s). Put r = ᾱ_t / ᾱ_s where the "
    "short step has α_t, and 1 − r where it has β_t.",
    "ex-reverse-6": "Two slices of the same table, shifted by one against each other, and no loop.",
    "ex-reverse-7": "Look up four numbers for each picture: β_t, α_t, ᾱ_t and ᾱ_{t−1}. Then write "
    "the formula as it stands.",
    "ex-reverse-8": "Mean first, then noise. What is σ_t if its square is β_t, and what has the "
    "last step to do with the noise that it is handed?",
    "ex-reverse-9": "Write β̃_t out in the denominator; then one β_t and one factor 1 − ᾱ_t cancel.",
    "ex-reverse-10": "v and x_t are two mixtures of the same two things: solve them for x_0 and "
    "for ε. The score is −ε over the size of the noise.",
    "ex-reverse-11": "Two lines: the guess of the picture at t, and the kernel at t_prev with the "
    "same noise.",
    "ex-reverse-12": "Compare what a stride of 80 does at t = 900 and at t = 80. Spend the calls "
    "where the picture is decided late.",
    "ex-unet-1": "Which map is large enough to hold another value for each single pixel?",
    "ex-unet-2": "Between four levels there are three halvings; then channels times places.",
    "ex-unet-3": "A wave turns once if 1000 ω_k ≥ 2π. Take the logarithm and solve for k, or count "
    "with torch.",
    "ex-unet-4": "Make the frequencies (dim/2,), then the angles (B, dim/2) by broadcasting, then "
    "put cosines and sines side by side.",
    "ex-unet-5": "Write the list in the order in which the maps are *made*; how does a stack give "
    "them back?",
    "ex-unet-6": "Split the channel axis in (groups, C/groups). Over which three axes do mean and "
    "variance run then?",
    "ex-unet-7": "Cut the 2C numbers in two halves, and give each two more axes of length 1.",
    "ex-unet-8": "Subtract the largest score of each row before `exp`; the rows belong to the "
    "places of q.",
    "ex-unet-9": "A 3 × 3 convolution has 9 weights for each pair of channels, and a bias for each "
    "that comes out. Which widths has which layer?",
    "ex-unet-10": "With v̂ = 0 the answer is √(1−ᾱ) x_t. Put in x_t, collect ε and x_0, square "
    "each factor.",
    "ex-unet-11": "On level i one place is 2^i pixels. How many pixels does each 3 × 3 convolution "
    "add there, and the one that halves?",
    "ex-unet-12": "Write a function of one width w, count its parameters for one w, and scale: "
    "they grow nearly as w².",
    "ex-training-1": "An error in the noise and an error in the picture differ by a factor that "
    "depends on t. Which, and how large is it at small t?",
    "ex-training-2": "Order matters: stretch, round, clip, and change the type last.",
    "ex-training-3": "List the tensors with one number a parameter: weights, gradients, what Adam "
    "remembers, the average. Four bytes each.",
    "ex-training-4": "Three lines: x_t by the kernel, the network's answer at x_t and t, and the "
    "mean of a square.",
    "ex-training-5": "A loop over the rows from 1 on. How large is d_n for n = 1, and which of the "
    "two does it multiply?",
    "ex-training-6": "`torch.where` takes a condition, what holds if it is true, and what else.",
    "ex-training-7": "Two cases, before and after the warm-up. Check three steps by hand: 1, "
    "warmup, warmup + 1.",
    "ex-training-8": "First Var(x_0 | x_t): precisions add up, 1/variance + SNR. Then ε at fixed "
    "x_t is a multiple of x_0.",
    "ex-training-9": "Two calls with the same x_t, one with the class and one without. Draw the "
    "line through them: where is scale 0, where 1?",
    "ex-training-10": "`steps` strides have steps + 1 ends. Both T and 0 are among them.",
    "ex-training-11": "Turn each mean back into a sum; add up; divide by all pictures.",
    "ex-training-12": "Express v − v̂ by ε − ε̂ at the same x_t: what must x̂_0 do when ε̂ changes?",
    "ex-training-13": "Write the root of a symmetric matrix first and test it on one; then the "
    "trace of the root of half · cov_b · half.",
    "ex-training-14": "Give t to the network in a form of size 1 (t / 1000, or waves), draw t and "
    "noise anew in each step, and let the learning rate fall at the end.",
    "ex-continuous-1": "Take the mean of dx for a point far from 0, and then ask what becomes of a "
    "variance of 1.",
    "ex-continuous-2": "Only the mean matters: da/ds = −½ β(s) a. Integrate β up to ½.",
    "ex-continuous-3": "Two things can be asked: where is the crowd, and where does one point go? "
    "Which of them does the Fokker–Planck equation describe?",
    "ex-continuous-4": "Use B = ∫β as the clock: then dv/dB = 1 − v. What does 1 − v do?",
    "ex-continuous-5": "First mean and variance of x_s; the score of a normal distribution is a "
    "straight line. Then u = f x − ½ g² · score.",
    "ex-continuous-6": "u = ε − x_0. Put it together with x_s = (1−s) x_0 + s ε and solve for one "
    "at a time.",
    "ex-continuous-7": "The noise has the variance β ds. What is its size?",
    "ex-continuous-8": "Write the score with eps_hat and b. Which share of g² multiplies it for "
    "churn 0, and which for churn 1? And s falls: mind the sign.",
    "ex-continuous-9": "Each step asks twice: where you are, and where Euler's step would end. Go "
    "with the mean; s falls by 1 / steps.",
    "ex-continuous-10": "Heun asks twice a step, so five of its steps are ten looks. Where do the "
    "paths bend? Make the steps short there.",
    "ex-restore-1": "Average the likelihood over what x_0 may still be: two points, half each.",
    "ex-restore-2": "Within a heap y is normal around its centre; its variance is that of the heap "
    "and of the noise together. Then Bayes' rule for two.",
    "ex-restore-3": "Add the precisions: 1/s² from before, c²/std² from y. Each pulls the mean to "
    "its side.",
    "ex-restore-4": "What are mean and variance of x_0 once x_t is known? The noise of y comes on "
    "top.",
    "ex-restore-5": "What is seen must have the noise level of the rest: a y + b z. `torch.where` "
    "does the rest.",
    "ex-restore-6": "It is a forward step with α = (a / a_prev)².",
    "ex-restore-7": "From score = −ε̂ / b: by how much must ε̂ change? Then keep x_t as it is.",
    "ex-restore-8": "Give each point a weight, its likelihood; draw 2,000 of them again with these "
    "weights (`torch.multinomial`).",
    "ex-translate-1": "By which factor is a sample's square error larger than the mean's? PSNR is "
    "10 log10 of something over it.",
    "ex-translate-2": "What is the best single answer, by mean square error, if several pictures "
    "are equally likely?",
    "ex-translate-3": "Truth and samples are independent draws from one law with the variance v. "
    "What is the variance of the difference of two, and of a mean of n?",
    "ex-translate-4": "The largest square error is the range squared. Average over all axes but "
    "the first before you take the logarithm.",
    "ex-translate-5": "Two pictures side by side on the channel axis: x_t from x0 and eps, and the "
    "block means of the *clean* x0, each repeated over its block.",
    "ex-translate-6": "Put x_t = a x_0 + b eps and v = a eps - b x_0 into a x_t - b v.",
    "ex-translate-7": "How far is each block's mean from its y? Add just that to each pixel of "
    "the block.",
    "ex-translate-8": "Predict what is missing from the enlarged blocks by a linear map of the 49 "
    "numbers and 1, fitted to the thousand pairs; then make it fit.",
    "ex-words-1": "Divide the three dot products by √D before the softmax, and divide by all three "
    "exponentials.",
    "ex-words-2": "Which sums are 1 now, those of the rows or those of the columns? What does a "
    "pixel get then, in all?",
    "ex-words-3": "One product of two independent numbers with mean 0 has the variance E[q²] "
    "E[k²]. How many such products are added up?",
    "ex-words-4": "Three steps: scores (B, M, N), softmax over the words, and a product with v.",
    "ex-words-5": "What must stand in the score of a word that is to get the weight 0? And the "
    "mask (B, N) needs an axis for the pixels.",
    "ex-words-6": "Make the empty caption once, in the shape of `tokens`; `torch.where` chooses "
    "for each caption as a whole.",
    "ex-words-7": "Multiply the formula of guidance out, and collect what stands before each of "
    "the two answers.",
    "ex-words-8": "It is guidance with another answer in one place. Which of the two do you want "
    "to leave, and which to go beyond?",
    "ex-words-9": "First a map of True and False: above the middle between least and largest. Then "
    "count two sets of pixels.",
    "ex-words-10": "Find what stands out from the ground's colour, then let a number spread over "
    "each connected piece (a maximum over neighbours, many times), and count the numbers.",
    "ex-shapes-1": "Exchange two points in your mind, and ask of each network whether the two "
    "answers are exchanged, and nothing else.",
    "ex-shapes-2": "Add up three kinds of looks: tokens at points, tokens at tokens, points at "
    "tokens.",
    "ex-shapes-3": "Within each kind the variance of a uniform number is (b − a)²/12; between the "
    "kinds stands the distance of their means.",
    "ex-shapes-4": "Two products of matrices; the mean runs over the points, and keeps its axis so "
    "that it is added to each of them.",
    "ex-shapes-5": "Make the table of squared distances (N, M) by broadcasting; along one axis "
    "lies the nearest of y for each x.",
    "ex-shapes-6": "Keep one number for each point: its distance to the nearest chosen one. What "
    "can a new choice do to it?",
    "ex-shapes-7": "Compare the nearest of one's own set with the nearest of the other. Who must "
    "not count as a neighbour?",
    "ex-shapes-8": "Put the clean points in first; then solve x_t = a x̂_0 + b ε̂ for the noise.",
    "ex-shapes-9": "Choose chairs whose width is near the given one. How near may it be, so that "
    "enough are left and none is of another kind?",
    "ex-pixels-1": "For each class: the diagonal over (its row + its column − the diagonal); then "
    "the mean of three.",
    "ex-pixels-2": "What has been used to choose is no longer a fair judge. How many sets does "
    "that need?",
    "ex-pixels-3": "Take TP = 1. How many pixels are called k then, and how many are k?",
    "ex-pixels-4": "Make one number of each pair (true, called) and count with `torch.bincount`; "
    "row sum plus column sum holds the diagonal twice.",
    "ex-pixels-5": "The network was trained on noisy pictures: mix x0 and eps to the level of t, "
    "with a shape that lines up with (B, C, H, W), and tell it the same t.",
    "ex-pixels-6": "Repeat each value where it stands, along one axis and then along the other.",
    "ex-pixels-7": "Whose mean and spread has the classifier seen when it was trained? One number "
    "for each channel, over all else.",
    "ex-pixels-8": "Bring the features to one scale with the labelled ones' statistics; then even "
    "the nearest class mean is good.",
}
