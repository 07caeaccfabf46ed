// Which views a model has: those of what it answers.

export const TASKS = ["classify", "tag", "answer", "translate", "summarize", "similarity"];
export const VIEWS = ["chat", "complete", ...TASKS, "runs"];

const FOR_TASKS = new Set([
  "text-classification",
  "pair-classification",
  "relation-extraction",
  "token-classification",
  "question-answering",
  "translation",
  "summarization",
]);
const FOR_ROUTES = { classify: "text-classification", tag: "token-classification", answer: "question-answering" };

const tasksOf = (model) => TASKS.filter((task) => model.routes.includes(task));

// What a model was fine-tuned to answer, or null.
const ownTask = (model) => tasksOf(model).find((task) => task !== "similarity") ?? null;

export function viewsOf(model) {
  if (!model) return ["chat", "complete", "runs"];
  const views = tasksOf(model).filter((task) => task !== "similarity");
  // Whoever learned to translate has not learned to talk.
  if (model.routes.includes("chat/completions") && (model.chat || !ownTask(model))) views.push("chat");
  if (model.routes.includes("completions")) views.push("complete");
  if (model.routes.includes("similarity")) views.push("similarity");
  return [...views, "runs"];
}

export function firstView(model) {
  const views = viewsOf(model);
  return model && views[0] === "chat" && !model.chat && views.includes("complete") ? "complete" : views[0];
}

export const isBase = (model) => Boolean(model) && !model.chat && !ownTask(model);
export const wantsPair = (model) => model.task === "pair-classification";
export const wantsMarks = (model) => model.task === "relation-extraction";

// The word for what a model is for: a key of the dictionaries.
export function purpose(model) {
  if (model.chat) return "for_chat";
  const own = ownTask(model);
  if (own) {
    const task = FOR_TASKS.has(model.task) ? model.task : (FOR_ROUTES[own] ?? (own === "translate" ? "translation" : "summarization"));
    return `for_${task.replaceAll("-", "_")}`;
  }
  return model.routes.includes("completions") ? "for_base" : "for_similarity";
}
