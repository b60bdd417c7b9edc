import { mount } from "svelte";
import "./app.css";
import App from "./shell/App.svelte";
import { keys } from "./shell/keys.svelte";
import { place } from "./shell/router.svelte";

place.listen();
keys.listen();
mount(App, { target: document.getElementById("app")! });
